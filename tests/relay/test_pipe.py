"""Delivery to programs: what they are given, and how their end is understood."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from mether.address import parse
from mether.envelope import Recipient
from mether.queue.content import Content, in_memory
from mether.relay import pipe
from mether.reply import Reply

SMALL = in_memory(b"Subject: x\r\n\r\nbody\r\n")
BOB, CAROL = Recipient(parse("Bob@Example.test")), Recipient(parse("carol@example.test"))


def deliver(
    argv: list[str],
    *recipients: Recipient,
    sender: str | None = "alice@example.org",
    content: Content = SMALL,
    limit: float = 30,
) -> list[Reply]:
    return pipe.deliver(
        argv,
        recipients or [BOB],
        reverse_path=parse(sender) if sender else None,
        prefix=b"Received: us\r\n",
        content=content,
        limit=limit,
        hostname="mx.example.net",
    )


def shell(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *arguments]


def test_the_message_is_on_standard_input(tmp_path: Path) -> None:
    """TRC-6: with Return-Path, in LF lines."""
    [reply] = deliver(shell(f"cat > {tmp_path}/out"))
    assert (reply.code, reply.status) == (250, "2.0.0")
    assert (tmp_path / "out").read_bytes() == (
        b"Return-Path: <alice@example.org>\nReceived: us\nSubject: x\n\nbody\n"
    )


def test_a_large_message_and_a_talkative_program(tmp_path: Path) -> None:
    """Neither side waits for the other for ever, and what is kept of the output is bounded."""
    content = in_memory(b"\r\n" + b"0123456789\r\n" * 200_000)
    [reply] = deliver(shell(f"tee {tmp_path}/out; exit 70"), content=content)
    assert reply.code == 554
    assert len(reply.text) < 400
    assert (tmp_path / "out").stat().st_size == content.size - 200_001 + len(
        b"Return-Path: <alice@example.org>\nReceived: us\n"
    )


def test_arguments_for_one_recipient(tmp_path: Path) -> None:
    script = f'printf "%s|" "$@" >> {tmp_path}/out'
    argv = shell(script, "-f{sender}", "{user}", "{domain}", "x{recipient}y")
    assert [reply.code for reply in deliver(argv, BOB, CAROL)] == [250, 250]
    assert (tmp_path / "out").read_text() == (
        "-falice@example.org|Bob|example.test|xBob@Example.testy|"
        "-falice@example.org|carol|example.test|xcarol@example.testy|"
    )


def test_one_run_for_all_recipients(tmp_path: Path) -> None:
    argv = shell(f'printf "%s|" "$@" >> {tmp_path}/out', "{sender}", "{recipients}", "end")
    assert [reply.code for reply in deliver(argv, BOB, CAROL, sender=None)] == [250, 250]
    assert (tmp_path / "out").read_text() == "<>|Bob@Example.test|carol@example.test|end|"


def test_no_shell_reads_the_address(tmp_path: Path) -> None:
    argv = shell(f'printf "%s" "$1" > {tmp_path}/out', "{recipient}")
    deliver(argv, Recipient(parse('"$(id)`id`;"@example.test')))
    assert (tmp_path / "out").read_text() == '"$(id)`id`;"@example.test'


def test_the_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("TZ", "UTC")
    deliver(["/bin/sh", "-c", f"env > {tmp_path}/out"])
    lines = (tmp_path / "out").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines} - {"PWD", "SHLVL", "_", "OLDPWD"}
    assert names == {"PATH", "LANG", "TZ", "SENDER", "RECIPIENT"}
    assert "SENDER=alice@example.org" in lines


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
        (77, 554, "5.7.0"),
        (-15, 451, "4.3.0"),
    ],
)
def test_the_exit_status(status: int, code: int, enhanced: str) -> None:
    """sysexits(3)."""
    reply = pipe.exit_reply("rmail", status, b"")
    assert (reply.code, reply.status) == (code, enhanced)


def test_what_the_program_said_is_in_the_reply() -> None:
    [reply] = deliver(shell("echo first; printf 'no such\\tuser\\r\\n\\033[1m \\377' >&2; exit 67"))
    assert reply.text == "sh exited with status 67: first no such user [1m \ufffd"


def test_a_signal_is_temporary() -> None:
    [reply] = deliver(shell("kill -9 $$"))
    assert str(reply) == "451 4.3.0 sh was ended by signal 9"


@pytest.mark.parametrize("program", ["/nonexistent/program", "/etc"])
def test_a_program_that_cannot_be_started_is_temporary(program: str) -> None:
    [reply] = deliver([program])
    assert (reply.code, reply.status) == (451, "4.3.0")
    assert "cannot run" in reply.text


def test_the_time_limit_kills_the_whole_group(tmp_path: Path) -> None:
    """A child of the program holds the other end of a pipe: it ends with the group."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ended = threading.Event()

    def watch() -> None:
        with open(fifo, "rb") as file:
            file.read()
        ended.set()

    thread = threading.Thread(target=watch)
    thread.start()
    [reply] = deliver(shell(f"exec 9> {fifo}; sleep 600 & wait"), limit=0.5)
    assert (reply.code, reply.status) == (451, "4.3.0")
    assert "within 0.5 seconds" in reply.text
    assert ended.wait(30)
    thread.join()


def test_a_child_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    [reply] = deliver(shell(f"sleep 600 & echo $! > {tmp_path}/pid; exit 0"), limit=60)
    assert reply.ok
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_program_that_does_not_read_decides_by_its_status() -> None:
    content = in_memory(b"\r\n" + b"x" * 1_000_000)
    assert deliver(["/bin/true"], content=content)[0].ok
    assert deliver(["/bin/false"], content=content)[0].code == 554


def test_content_that_cannot_be_read_is_no_delivery(tmp_path: Path) -> None:
    content = Content(None, 10, lambda: (tmp_path / "gone").open("rb"))
    [reply] = deliver(["/bin/cat"], content=content)
    assert (reply.code, reply.status) == (451, "4.3.0")
    assert str(tmp_path) not in reply.text


def test_an_address_never_becomes_an_option(tmp_path: Path) -> None:
    """550 5.1.3; a recipient beside it still gets the message."""
    dash = Recipient(parse("-oQ/tmp@example.test"))
    argv = shell(f'printf "%s|" "$@" >> {tmp_path}/out', "{recipients}")
    assert [str(reply)[:9] for reply in deliver(argv, dash, BOB)] == ["550 5.1.3", "250 2.0.0"]
    assert (tmp_path / "out").read_text() == "Bob@Example.test|"
    assert str(deliver(shell("exit 0", "{recipient}"), dash)[0])[:9] == "550 5.1.3"
    assert str(deliver(shell("exit 0", "{user}"), dash)[0])[:9] == "550 5.1.3"
    assert str(deliver(shell("exit 0", "{sender}"), sender="-x@example.org")[0])[:9] == "550 5.1.7"


def test_after_two_hyphens_it_may_begin_with_one(tmp_path: Path) -> None:
    dash = Recipient(parse("-x@example.test"))
    argv = shell(f'printf "%s|" "$@" >> {tmp_path}/out', "--", "{recipients}")
    assert deliver(argv, dash, BOB)[1].ok
    assert (tmp_path / "out").read_text() == "--|-x@example.test|Bob@Example.test|"
    assert deliver(shell("exit 0", "--to={recipient}"), dash)[0].ok


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [""],
        ["{user}"],
        ["x", "{users}"],
        ["x", "a\0"],
        ["x", "{recipients}", "{user}"],
        ["x", "{recipients}y"],
    ],
)
def test_a_template_that_is_none_is_refused_when_read(argv: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        pipe.check_template(argv)
    pipe.check_template([sys.executable, "-f", "{sender}", "--", "{recipients}"])
