"""What a message is, as far as its header and its parts tell: who wrote it, what came back."""

from __future__ import annotations

import pytest

from mether.content.bounce_message import Message


def message(text: str) -> Message:
    return Message(text.encode())


@pytest.mark.parametrize(
    ("sender", "daemon", "surely"),
    [
        ("MAILER-DAEMON@mx.example.org (Mail Delivery System)", True, True),
        ("<>", True, True),
        ("Postmaster <postmaster@example.org>", True, False),
        ("System Administrator <x@example.org>", True, False),
        ("Virus_Wall_SMTP_Gateway@example.org", True, False),
        ("Ann <ann@example.org>", False, False),
    ],
)
def test_who_wrote_it(sender: str, daemon: bool, surely: bool) -> None:
    found = message(f"From: {sender}\n\n")
    assert (found.is_daemon, found.is_surely_daemon) == (daemon, surely)


def test_what_the_header_tells() -> None:
    found = message("Return-Path: < >\nSubject: Undelivered mail\nList-Id: <x.example.org>\n\n")
    assert (found.has_null_path, found.names_failure, found.is_of_list, found.is_answer) == (
        True,
        True,
        True,
        False,
    )
    found = message("Subject: AW: Undelivered mail\n\n")
    assert (found.has_null_path, found.is_of_list, found.is_answer) == (False, False, True)


@pytest.mark.parametrize("field", ["Return-Path", "X-Envelope-From", "Envelope-From"])
def test_the_null_path_by_other_names(field: str) -> None:
    assert message(f"{field}: <>\n\n").has_null_path
    assert not message(f"{field}: <ann@example.org>\n\n").has_null_path


def test_the_notice_ends_where_the_message_begins() -> None:
    found = message("Subject: x\n\nIt failed.\n\n--- Original message follows ---\n\nMessage-Id: <1@a>\n")
    assert next(line for line in found.notice if line) == "It failed."
    assert found.returned.get("message-id") == "<1@a>"


def test_the_message_as_a_part() -> None:
    found = message(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nIt failed.\n--x\n"
        "Content-Type: message/rfc822\n\nMessage-Id: <1@a>\n\nhello\n--x--\n"
    )
    assert found.came_back.startswith(b"Message-Id: <1@a>")
    assert found.returned.get("message-id") == "<1@a>"
