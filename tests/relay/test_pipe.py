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
from mether.queue.message import Arrival
from mether.relay import pipe
from mether.relay.letter import Letter, Person
from mether.reply import Reply

SMALL = in_memory(b"Subject: x\r\n\r\nbody\r\n")
BOB, CAROL = Recipient(parse("Bob@Example.test")), Recipient(parse("carol@example.test"))


def deliver(
    argv: list[str],
    *recipients: Recipient,
    sender: str | None = "alice@example.org",
    content: Content = SMALL,
    limit: float = 30,
    **more: object,
) -> list[Reply]:
    arrival = Arrival(0.0, "ESMTPSA", address="192.0.2.1", host="a.example", helo="x\0\ny", login="ann")
    letter = Letter(
        parse(sender) if sender else None, b"Received: us\r\n", content, ident="1A2B", arrival=arrival
    )
    return pipe.deliver(
        argv, recipients or [BOB], letter, now=0.0, limit=limit, hostname="mx.example.net", **more
    )


def shell(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *arguments]


def test_the_message_is_on_standard_input(tmp_path: Path) -> None:
    """TRC-6, TRC-8: with Return-Path and Delivered-To, in LF lines."""
    [reply] = deliver(shell(f"cat > {tmp_path}/out"))
    assert (reply.code, reply.status) == (250, "2.0.0")
    assert (tmp_path / "out").read_bytes() == (
        b"Return-Path: <alice@example.org>\nDelivered-To: Bob@Example.test\n"
        b"Received: us\nSubject: x\n\nbody\n"
    )


def test_a_large_message_and_a_talkative_program(tmp_path: Path) -> None:
    """Neither side waits for the other for ever, and what is kept of the output is bounded."""
    content = in_memory(b"\r\n" + b"0123456789\r\n" * 200_000)
    [reply] = deliver(shell(f"tee {tmp_path}/out; exit 70"), content=content)
    assert reply.code == 554
    assert len(reply.text) < 400
    assert (tmp_path / "out").stat().st_size == content.size - 200_001 + len(
        b"Return-Path: <alice@example.org>\nDelivered-To: Bob@Example.test\nReceived: us\n"
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
    sub = Recipient(parse("Bob+a.b@Example.test"), orcpt="rfc822;bob+2Bx@example.org")
    deliver(["/bin/sh", "-c", f"env > {tmp_path}/out"], sub, delimiter="+")
    lines = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    for ours in ("PWD", "SHLVL", "_", "OLDPWD"):
        lines.pop(ours, None)
    assert lines == {
        "PATH": pipe.PATH,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "SENDER": "alice@example.org",
        "RECIPIENT": "Bob+a.b@Example.test",
        "ORIGINAL_RECIPIENT": "bob+x@example.org",
        "LOCAL": "Bob+a.b",
        "USER": "Bob",
        "EXTENSION": "a.b",
        "DOMAIN": "Example.test",
        "QUEUE_ID": "1A2B",
        "CLIENT_ADDRESS": "192.0.2.1",
        "CLIENT_HOSTNAME": "a.example",
        "CLIENT_HELO": "x??y",
        "CLIENT_PROTOCOL": "ESMTPSA",
        "SASL_USERNAME": "ann",
    }


def test_our_own_programs_find_the_configuration_of_the_service(tmp_path: Path) -> None:
    argv = ["/bin/sh", "-c", f"echo $METHER_CONFIG $RECIPIENT > {tmp_path}/out"]
    deliver(argv, variables={"METHER_CONFIG": "/etc/other.toml"})
    assert (tmp_path / "out").read_text() == "/etc/other.toml Bob@Example.test\n"


def test_a_unix_user_has_a_home_and_a_name() -> None:
    letter = Letter(None, b"", SMALL)
    bob = Person("bob", 1000, 1000, "/home/bob", "/bin/zsh")
    given = pipe.environment(letter, [BOB], person=bob)
    assert {name: given[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")} == {
        "HOME": "/home/bob",
        "USER": "bob",
        "LOGNAME": "bob",
        "SHELL": "/bin/zsh",
    }
    assert not {"RECIPIENT", "USER", "LOCAL"} & set(pipe.environment(letter, [BOB, CAROL]))


def test_more_that_a_template_may_name(tmp_path: Path) -> None:
    argv = shell(
        f'printf "%s|" "$@" > {tmp_path}/out', "{user}", "{detail}", "{queue_id}", "{client_address}"
    )
    assert deliver(argv, Recipient(parse("bob-x-y@example.test")), delimiter="-")[0].ok
    assert (tmp_path / "out").read_text() == "bob|x-y|1A2B|192.0.2.1|"


def test_a_from_line_where_it_is_wanted(tmp_path: Path) -> None:
    assert deliver(shell(f"cat > {tmp_path}/out"), begins=True)[0].ok
    first = (tmp_path / "out").read_bytes().split(b"\n")[:2]
    assert first == [b"From alice@example.org Thu Jan  1 00:00:00 1970", b"Return-Path: <alice@example.org>"]


def test_a_message_that_comes_back_is_not_delivered_again(tmp_path: Path) -> None:
    """TRC-8, QUE-7."""
    content = in_memory(b"Delivered-To: carol@example.test\r\n\r\n")
    argv = shell(f'printf "%s|" "$1" >> {tmp_path}/out', "{recipient}")
    assert [reply.status for reply in deliver(argv, BOB, CAROL, content=content)] == ["2.0.0", "5.4.6"]
    assert deliver(argv, CAROL, content=content, delivered_to=False)[0].ok
    assert (tmp_path / "out").read_text() == "Bob@Example.test|carol@example.test|"


def test_several_recipients_of_one_run_are_not_told_of_each_other(tmp_path: Path) -> None:
    deliver(shell(f"cat > {tmp_path}/out", "{recipients}"), BOB, CAROL)
    assert b"Delivered-To" not in (tmp_path / "out").read_bytes()


def test_a_program_of_an_alias(tmp_path: Path) -> None:
    """It is run for each recipient, and braces mean nothing in it."""
    argv = ("/bin/sh", "-c", f'echo "$1 $RECIPIENT" >> {tmp_path}/out', "sh", "{user}")
    assert [reply.code for reply in deliver(list(argv), BOB, CAROL, literal=True)] == [250, 250]
    assert (tmp_path / "out").read_text() == "{user} Bob@Example.test\n{user} carol@example.test\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/usr/bin/procmail -t", ("/usr/bin/procmail", "-t")),
        ("vacation  'ann o''b'", ("vacation", "ann ob")),
        (r'/bin/x "a \"b\" \c" d\ e ""', ("/bin/x", 'a "b" \\c', "d e", "")),
        ("/bin/sh -c 'exec tee $HOME/x | wc; exit 0'", ("/bin/sh", "-c", "exec tee $HOME/x | wc; exit 0")),
        ("/bin/x a=b 50% ann#x c~", ("/bin/x", "a=b", "50%", "ann#x", "c~")),
        ('/bin/x "it\'s"', ("/bin/x", "it's")),
    ],
)
def test_the_words_of_an_alias(command: str, words: tuple[str, ...]) -> None:
    assert pipe.words(command) == words


@pytest.mark.parametrize(
    "command",
    [
        "a | b",
        "a; b",
        "a && b",
        "a > b",
        "a `b`",
        "a $HOME",
        'a "$HOME"',
        "a *",
        "a ~/x",
        "a # b",
        "IFS=' ' a",
        "(a)",
        "a {b,c}",
        "a [b]",
        "a b?",
    ],
)
def test_what_needs_a_shell_is_refused_with_a_way_out(command: str) -> None:
    with pytest.raises(ValueError, match=r"needs a shell for its .*sh -c '"):
        pipe.words(command)


@pytest.mark.parametrize("command", ["", "  ", "''", "a 'b", 'a "b', "a \\", "a " * 200])
def test_words_that_are_none(command: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        pipe.words(command)


def test_what_the_program_said_is_in_the_reply() -> None:
    [reply] = deliver(shell("echo first; printf 'no such\\tuser\\r\\n\\033[1m \\377' >&2; exit 67"))
    assert reply.text == "sh exited with status 67: no such user [1m \ufffd"


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
