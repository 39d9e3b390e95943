"""``mether bounce``: its JSON, its statuses, its lines."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from mether.programs.mether import main

BOUNCE = b"""\
Return-Path: <>
From: MAILER-DAEMON@mail.example.net
To: ann@example.org
Subject: failure notice

Hi. This is the qmail-send program at mail.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.

<bob@example.net>:
Remote host said: 550 5.1.1 User unknown

--- Below this line is a copy of the message.

Message-ID: <1@example.org>
"""
NONE = b"From: ann@example.org\nSubject: hello\n\nHello.\n"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOSYSEXITS", raising=False)


class Input:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_a_bounce_on_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Input(BOUNCE))
    assert main(["bounce", "--recipient", "ann+0D5K3H7M2Q9XA=@example.org"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {
            "recipient": "bob@example.net",
            "original_recipient": None,
            "action": "failed",
            "status": "5.1.1",
            "class": "no such user",
            "diagnostic": "Remote host said: 550 5.1.1 User unknown",
            "remote_mta": None,
            "reporting_mta": None,
            "message_id": "1@example.org",
            "envid": None,
            "queue_id": "0D5K3H7M2Q9XA",
        }
    ]


def test_files_one_of_which_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(BOUNCE)
    other.write_bytes(NONE)
    assert main(["bounce", str(one), str(other)]) == 65
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(one)]
    assert err == f"mether: {other}: no bounce, nor another report\n"


def test_what_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Input(NONE))
    assert main(["bounce"]) == 65
    assert capsys.readouterr() == ("", "mether: standard input: no bounce, nor another report\n")


def test_a_success_has_no_class(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    report = Path(__file__).resolve().parents[1] / "content" / "reports" / "delivered.eml"
    assert main(["bounce", str(report)]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["action"], row["class"]) == ("delivered", None)


def test_a_writer_of_much_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of stdin is read, though its beginning alone is looked at."""
    given = Input(BOUNCE + b"x" * 3_000_000)
    monkeypatch.setattr(sys, "stdin", given)
    assert main(["bounce"]) == 0
    assert not given.buffer.read()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["bounce", "/nowhere/at/all"], 66, "/nowhere/at/all: No such file or directory"),
        (["bounce", "--recipient", "a@@b", "x"], 64, "a@@b"),
    ],
)
def test_errors(arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == status
    assert said in capsys.readouterr().err


def test_a_bounce_that_a_person_attached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "letter"
    path.write_bytes(
        b"From: ann@example.org\nSubject: what is that?\nContent-Type: multipart/mixed; boundary=x\n\n"
        b"--x\n\nLook.\n--x\nContent-Type: message/rfc822\n\n" + BOUNCE + b"--x--\n"
    )
    assert main(["bounce", str(path)]) == 65
    capsys.readouterr()
    assert main(["bounce", "--attached", str(path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["message_id"] == "1@example.org"
