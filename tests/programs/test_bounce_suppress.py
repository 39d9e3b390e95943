"""``mether bounce --suppress``: whose word is taken, and whose is not."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest
from mail import address

from mether.content.verp import encode
from mether.programs.mether import main
from mether.queue import ident
from mether.queue.suppressed import Suppressions

BOUNCE = """\
Return-Path: <>
From: MAILER-DAEMON@mail.example.net
To: {to}
Subject: failure notice

Hi. This is the qmail-send program at mail.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.

<{failed}>:
Remote host said: 550 5.1.1 User unknown

--- Below this line is a copy of the message.

Message-ID: <1@example.org>
"""


CONFIG = """\
[[route]]
domains = ["example.org"]
users = ["ann"]
delimiter = "+"
maildir = "mail/{user}"
[[route]]
mx = true
verp = ["example.org"]
"""


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METHER_SPOOL", f"sqlite:{tmp_path / 'spool'}")
    (tmp_path / "mether.toml").write_text(CONFIG)
    monkeypatch.setenv("METHER_CONFIG", str(tmp_path / "mether.toml"))
    monkeypatch.delenv("RECIPIENT", raising=False)
    monkeypatch.delenv("NOSYSEXITS", raising=False)
    return tmp_path / "spool"


def verp(to: str | None = "bob@example.net", days: float = 1.0) -> str:
    queue_id = ident.new_id(time.time() - days * 86400.0, 7)
    return str(encode(address("ann@example.org"), queue_id, None if to is None else address(to)))


def read(tmp_path: Path, to: str, failed: str = "bob@example.net", *options: str) -> int:
    file = tmp_path / "bounce"
    file.write_text(BOUNCE.format(to=to, failed=failed))
    return main(["bounce", "--suppress", *options, str(file)])


def known(spool: Path) -> list[str]:
    return [str(one.address) for one in Suppressions(str(spool)).page(("", ""))]


def test_who_failed_is_remembered(tmp_path: Path, spool: Path) -> None:
    to = verp()
    assert read(tmp_path, to, "bob@example.net", "--recipient", to) == 0
    found = Suppressions(str(spool)).find(address("bob@example.net"))
    assert found is not None
    assert (found.source, found.kind, found.status) == ("bounce", "no such user", "5.1.1")
    assert found.note.startswith("bounce of ") and "User unknown" in found.reason
    assert found.until is not None


def test_where_it_came_to_may_be_told_by_the_environment(
    tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECIPIENT", verp())
    assert read(tmp_path, "ann@example.org") == 0
    assert known(spool) == ["bob@example.net"]


def test_it_is_our_address_that_counts(tmp_path: Path, spool: Path) -> None:
    """Behind an alias there the one that failed is another, which we never wrote to."""
    to = verp()
    assert read(tmp_path, to, "robert@inside.example", "--recipient", to) == 0
    assert known(spool) == ["bob@example.net"]


@pytest.mark.parametrize(
    "to",
    [
        pytest.param("ann@example.org", id="no VERP"),
        pytest.param(verp(None), id="VERP without a recipient"),
        pytest.param(verp(days=31.0), id="too old"),
        pytest.param(verp(days=-1.0), id="of a time to come"),
        pytest.param("ann+0000000000000=victim=example.com@example.org", id="of the year 2020"),
    ],
)
def test_a_bounce_that_anybody_can_write_is_not_believed(
    tmp_path: Path, spool: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    assert read(tmp_path, to, "victim@example.com", "--recipient", to) == 0
    said = capsys.readouterr()
    assert said.err.startswith("mether: not remembered: ") and said.err.count("\n") == 1
    assert '"recipient": "victim@example.com"' in said.out
    assert not spool.exists()


def test_the_header_is_not_believed_about_where_it_came_to(
    tmp_path: Path, spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(tmp_path, verp()) == 64
    assert "--suppress needs --recipient" in capsys.readouterr().err
    assert not spool.exists()


def test_other_classes_are_not_remembered(tmp_path: Path, spool: Path) -> None:
    config = tmp_path / "mether.toml"
    config.write_text(CONFIG + '[suppress]\nremember = ["mailbox full"]\n')
    to = verp()
    assert read(tmp_path, to, "bob@example.net", "--recipient", to) == 0
    assert not spool.exists()


@pytest.mark.parametrize(
    ("sender", "why"),
    [
        pytest.param("other@evil.example", "no route has verp for evil.example", id="another domain"),
        pytest.param("nobody@example.org", "is no address here", id="nobody here"),
    ],
)
def test_a_reverse_path_that_was_not_made_here_is_not_believed(
    tmp_path: Path, spool: Path, capsys: pytest.CaptureFixture[str], sender: str, why: str
) -> None:
    to = str(encode(address(sender), ident.new_id(time.time(), 7), address("bob@example.net")))
    assert read(tmp_path, to, "bob@example.net", "--recipient", to) == 0
    assert why in capsys.readouterr().err
    assert not spool.exists()


def test_one_that_is_spelt_as_none_is_made_is_not_believed(
    tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = ident.new_id(time.time(), 7)
    for to in (f"ann+{now}=bob==@example.org", f"ann+{now}={'b' * 60}=example.net@example.org"):
        monkeypatch.setenv("RECIPIENT", to)
        assert read(tmp_path, to) == 0
        assert "not remembered: " in capsys.readouterr().err
    assert not spool.exists()


class Input:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def piped(monkeypatch: pytest.MonkeyPatch, message: str, *options: str) -> int:
    monkeypatch.setattr(sys, "stdin", Input(message.encode()))
    return main(["bounce", "--suppress", *options])


def test_ordinary_mail_in_a_pipe_is_no_error(
    spool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else whoever writes to that address, and whoever is away, would have it returned."""
    monkeypatch.setenv("RECIPIENT", verp())
    assert piped(monkeypatch, "From: bob@example.net\nSubject: Out of office\n\nBack in May.\n") == 0
    assert capsys.readouterr() == ("", "mether: standard input: no bounce, nor another report\n")
    assert not spool.exists()


def test_our_own_mistakes_make_the_mail_in_a_pipe_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECIPIENT", verp())
    (tmp_path / "mether.toml").write_text("[suppress]\nremeber = true\n")
    assert piped(monkeypatch, "Subject: x\n\n") == 75
    assert "remeber" in capsys.readouterr().err
    assert read(tmp_path, verp(), "bob@example.net", "--recipient", verp()) == 78
    (tmp_path / "mether.toml").write_text(CONFIG.replace('["ann"]', '["file:gone"]'))
    to = verp()
    monkeypatch.setenv("RECIPIENT", to)
    assert piped(monkeypatch, BOUNCE.format(to=to, failed="bob@example.net")) == 75
