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
Date: Sat, 31 Jan 2026 13:00:00 +0100
Subject: failure notice

Hi. This is the qmail-send program at mail.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.

<bob@example.net>:
Remote host said: 550 5.1.1 User unknown

--- Below this line is a copy of the message.

Message-ID: <1@example.org>
Subject: =?utf-8?q?Caf=C3=A9?=
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
    assert main(["bounce", "--recipient", "ann+0D5K3H7M2Q9XA=bob=example.com@example.org"]) == 0
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
            "date": "2026-01-31T12:00:00Z",
            "message_id": "1@example.org",
            "subject": "Caf\u00e9",
            "envid": None,
            "queue_id": "0D5K3H7M2Q9XA",
            "sent_to": "bob@example.com",
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


def test_a_file_that_is_missing_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(BOUNCE)
    other.write_bytes(NONE)
    names = [str(tmp_path / "gone"), str(other), str(tmp_path), str(one)]
    assert main(["bounce", *names]) == 66
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(one)]
    assert err.splitlines() == [
        f"mether: {tmp_path}/gone: No such file or directory",
        f"mether: {other}: no bounce, nor another report",
        f"mether: {tmp_path}: Is a directory",
    ]


def test_in_a_pipe_what_is_none_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exit status would return it to whoever wrote it."""
    monkeypatch.setattr(sys, "stdin", Input(NONE))
    assert main(["bounce", "--pipe"]) == 0
    assert capsys.readouterr() == ("", "mether: standard input: no bounce, nor another report\n")
    monkeypatch.setattr(sys, "stdin", Input(BOUNCE))
    assert main(["bounce", "--pipe"]) == 0
    assert json.loads(capsys.readouterr().out)["recipient"] == "bob@example.net"


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
        (["bounce", "--pipe", "x"], 64, "bounce --pipe reads standard input"),
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
