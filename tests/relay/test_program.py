"""One run of a program: how its end is understood.  What it is given is tested in test_pipe.py."""

from __future__ import annotations

import pytest

from mether.relay import program


@pytest.mark.parametrize(
    ("status", "code", "enhanced"),
    [
        (0, 250, "2.0.0"),
        (1, 554, "5.3.0"),
        (65, 554, "5.6.0"),
        (67, 550, "5.1.1"),
        (68, 550, "5.1.2"),
        (69, 554, "5.3.0"),
        (71, 451, "4.3.0"),
        (75, 451, "4.3.0"),
        (72, 554, "5.3.0"),
        (73, 554, "5.2.0"),
        (74, 554, "5.3.0"),
        (76, 554, "5.5.0"),
        (77, 554, "5.7.0"),
        (78, 554, "5.3.5"),
        (127, 554, "5.3.0"),
        (-15, 451, "4.3.0"),
    ],
)
def test_the_exit_status(status: int, code: int, enhanced: str) -> None:
    """sysexits(3)."""
    reply = program.exit_reply("rmail", status, b"")
    assert (reply.code, reply.status) == (code, enhanced)


def test_only_two_statuses_are_temporary() -> None:
    """All others, 73 and 74 too, return the message."""
    temporary = [status for status in range(1, 256) if program.exit_reply("x", status, b"").temporary]
    assert temporary == [71, 75]


def said(script: str) -> str:
    return program.run(["/bin/sh", "-c", script], {"PATH": "/bin:/usr/bin"}, iter((b"x\n",)), 30).text


def test_standard_error_is_preferred_to_standard_output() -> None:
    assert said("echo talk; echo reason >&2; exit 69") == "sh exited with status 69: reason"
    assert said("echo talk; echo ' ' >&2; exit 69") == "sh exited with status 69: talk"
    assert said("exit 69") == "sh exited with status 69"


def test_the_end_of_long_output_is_kept() -> None:
    text = said("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done >&2; exit 1")
    assert text.endswith("line 19999")
    assert len(text) < program.MAX_QUOTED + 40


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_program_that_may_not_be_killed_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has become root, by sudo: its time is over all the same."""

    def refused(group: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(program.os, "killpg", refused)
    monkeypatch.setattr(program, "DYING", 0.05)
    pieces = iter((b"x\n",))
    arguments = ["/bin/sh", "-c", "read x; exec sleep 2"]
    reply = program.run(arguments, {"PATH": "/bin:/usr/bin"}, pieces, 0.1)
    assert (reply.code, reply.text) == (451, "sh did not finish within 0.1 seconds")
