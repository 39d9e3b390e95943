"""``sendmail`` as PHP, cron, git and people call it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from denied import forbidden
from hypothesis import given
from hypothesis import strategies as st
from peer import Peer, fed

from mether.event import mail as event
from mether.programs import behind, sendmail, smtpqer
from mether.queue.open import open_store
from mether.queue.store import Filter

BIN = Path(sys.executable).parent
ANN, BOB, CAT = "ann@example.net", "bob@example.net", "cat@example.net"
MESSAGE = b"From: me@example.org\nTo: ann@example.net\nSubject: hi\n\nHello.\n"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """Nothing is set off behind the test's back."""
    kept = list(event.sinks)
    monkeypatch.setattr(behind, "start", lambda url, config, spool: None)
    monkeypatch.setattr(sendmail, "_run_now", lambda config, ident: None)
    yield
    event.sinks[:] = kept


@pytest.fixture
def configured(url, tmp_path, monkeypatch):
    path = tmp_path / "mether.toml"
    path.write_text('[service]\nhostname = "host.example.org"\n')
    monkeypatch.setenv("METHER_CONFIG", str(path))
    monkeypatch.setattr(sendmail, "_user", lambda: ("joe", "Joe Döe"))
    return url


class Queued:
    def __init__(self, entry, content):
        self.sender = entry.message.envelope.reverse_path
        self.body = entry.message.envelope.body
        self.smtputf8 = entry.message.envelope.smtputf8
        self.envelope = entry.message.envelope
        self.recipients = [str(row.recipient.forward_path) for row in entry.rows]
        self.rows = entry.rows
        self.content = content
        self.header, _, self.text = content.partition(b"\r\n\r\n")


def everything(url):
    store = open_store(url, now=time.time())
    try:
        return [Queued(each, store.content(each.message.ident).read()) for each in store.entries(Filter())]
    finally:
        store.close()


def run(capsys, *argv, message=MESSAGE):
    with fed(message):
        status = sendmail.main(list(argv))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def send(url, capsys, *argv, message=MESSAGE):
    """What is queued, one message."""
    status, out, err = run(capsys, *argv, message=message)
    assert (status, out, err) == (0, "", "")
    (queued,) = everything(url)
    return queued


def test_php(configured, capsys):
    """PHP's sendmail_path is ``sendmail -t -i``."""
    queued = send(
        configured,
        capsys,
        "-t",
        "-i",
        message=b"To: Ann <ann@example.net>\nSubject: hi\nX-PHP-Originating-Script: 33:a.php\n"
        b"From: shop@example.org\n\nOne\n.\nTwo\n",
    )
    assert queued.recipients == [ANN]
    assert str(queued.sender) == "joe@host.example.org"
    assert b"X-PHP-Originating-Script: 33:a.php\r\n" in queued.content
    assert queued.text == b"One\r\n.\r\nTwo\r\n"


def test_cron(configured, capsys):
    """``sendmail -i -FCronDaemon -B8BITMIME -oem user``."""
    queued = send(
        configured,
        capsys,
        *("-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"),
        message='From: "(Cron Daemon)" <root>\nTo: root\nSubject: Cron <root@h> ./grün\n\nü\n'.encode(),
    )
    assert queued.recipients == ["root@host.example.org"]
    assert queued.body == "8BITMIME"
    assert b'From: "(Cron Daemon)" <root@host.example.org>\r\nTo: root@host.example.org\r\n' in queued.content


def test_cron_of_old(configured, capsys):
    queued = send(configured, capsys, "-FCronDaemon", "-odi", "-oem", "-oi", "-t")
    assert queued.recipients == [ANN]


def test_git(configured, capsys):
    """git send-email: ``-i`` and recipients, the message in full."""
    queued = send(configured, capsys, "-i", ANN, BOB)
    assert queued.recipients == [ANN, BOB]
    assert queued.content.endswith(MESSAGE.replace(b"\n", b"\r\n"))


def test_recipients_from_the_header(configured, capsys):
    message = (
        b"from: me@example.org\n"
        b'TO: Ann <ann@example.net>, "Bob, the (second)"\n'
        b"\t<bob@example.net> (a comment, with comma)\n"
        b"Cc: friends: cat@example.net,\n dan@example.net;, undisclosed:;\n"
        b"Bcc: eve@example.net,\n  fay@example.net\n"
        b"Subject: Bcc: not@example.net\n"
        b"\n"
        b"To: nobody@example.net\n"
    )
    queued = send(configured, capsys, "-t", message=message)
    assert queued.recipients == [f"{name}@example.net" for name in ("ann", "bob", "cat", "dan", "eve", "fay")]
    assert b"eve" not in queued.content and b"fay" not in queued.content
    assert b"Subject: Bcc: not@example.net\r\n" in queued.content
    assert b"To: nobody@example.net\r\n" in queued.text


def test_the_header_and_the_arguments_are_merged(configured, capsys):
    queued = send(configured, capsys, "-t", BOB, ANN)
    assert queued.recipients == [BOB, ANN]


def test_without_t_bcc_stays_and_nobody_in_the_header_is_asked(configured, capsys):
    queued = send(configured, capsys, BOB, message=b"From: a@b.test\nBcc: cat@example.net\n\n")
    assert queued.recipients == [BOB]
    assert b"Bcc: cat@example.net\r\n" in queued.content


@pytest.mark.parametrize("message", [b"Subject: x\n\n", b"", b"To: \n\n", b"To: nobody:;\n\n"])
def test_nobody_to_send_to(configured, capsys, message):
    status, out, err = run(capsys, "-t", message=message)
    assert (status, out, err.count("\n")) == (64, "", 1)
    assert everything(configured) == []


def test_no_recipient(configured, capsys):
    status, _, err = run(capsys)
    assert status == 64 and "no recipients" in err


def test_one_who_is_not_here_stops_nobody(configured, capsys, tmp_path):
    """The others are queued, with a report for the sender; a line says so."""
    with (tmp_path / "mether.toml").open("a") as file:
        file.write('[[route]]\ndomains = ["host.example.org"]\nusers = ["joe"]\nmaildir = "mail/{user}"\n')
    status, _, err = run(capsys, ANN, "nosuch")
    assert (status, err.count("\n")) == (0, 1)
    assert err.startswith("sendmail: <nosuch@host.example.org>: 550 5.1.1 ")
    assert sorted((str(one.sender), one.recipients) for one in everything(configured)) == [
        ("None", ["joe@host.example.org"]),
        ("joe@host.example.org", [ANN]),
    ]
    status, _, err = run(capsys, "nosuch")
    assert (status, err.count("\n")) == (67, 1)


def test_bv_says_where_mail_goes_and_sends_nothing(configured, capsys, tmp_path):
    with (tmp_path / "mether.toml").open("a") as file:
        file.write('[[route]]\ndomains = ["host.example.org"]\nusers = ["joe"]\nmaildir = "mail/{user}"\n')
    status, out, err = run(capsys, "-bv", "joe,ann@example.net")
    assert (status, err) == (0, "")
    assert out.startswith("joe@host.example.org\n") and "\nann@example.net\n" in out
    status, out, _ = run(capsys, "-bv", "nosuch", ANN)
    assert status == 67
    assert "550 5.1.1" in out
    assert everything(configured) == []
    assert run(capsys, "-bv")[0] == 64


def test_bd_names_the_service(configured, capsys):
    status, _, err = run(capsys, "-bd", "-q30m")
    assert (status, err.count("\n")) == (64, 1)
    assert "smtpd" in err


def test_an_address_that_is_none(configured, capsys):
    status, _, err = run(capsys, "a@b.test\r\nDATA")
    assert (status, err.count("\n")) == (64, 1)
    status, _, err = run(capsys, "-f", "a@b.test> X", ANN)
    assert (status, err.count("\n")) == (64, 1)
    assert everything(configured) == []


HERE = "host.example.org"


@pytest.mark.parametrize(
    ("operand", "recipients"),
    [
        ("ann@example.net,bob@example.net", [ANN, BOB]),
        ("ann,bob", [f"ann@{HERE}", f"bob@{HERE}"]),
        ("ann, bob@example.net,", [f"ann@{HERE}", BOB]),
        ("Ann <ann@example.net>", [ANN]),
        ("<ann@example.net>,<bob@example.net>", [ANN, BOB]),
        ("ann@example.net (Ann, at home)", [ANN]),
        ('"Lee, Ann" <ann@example.net>, bob', [ANN, f"bob@{HERE}"]),
        ("friends: ann@example.net, bob@example.net;", [ANN, BOB]),
        ('"ann,bob"@example.net', ['"ann,bob"@example.net']),
        ('"ann lee"', [f'"ann lee"@{HERE}']),
        ('"ann@lee"', [f'"ann@lee"@{HERE}']),
    ],
)
def test_an_argument_is_a_list_of_addresses(configured, capsys, operand, recipients):
    """As other sendmails read it: Debian's cron gives MAILTO=a,b as one argument."""
    queued = send(configured, capsys, "-i", "-FCronDaemon", "-B8BITMIME", "-oem", operand)
    assert queued.recipients == recipients


@pytest.mark.parametrize(
    "text", ["a b", "ann@example.net bob@example.net", "(ann", '"ann', ",", "a@b.test,c d"]
)
@pytest.mark.parametrize("flag", [(), ("-f",)])
def test_what_is_no_list_of_addresses_is_64(configured, capsys, text, flag):
    status, _, err = run(capsys, *flag, text, ANN)
    assert (status, err.count("\n")) == (64, 1)
    assert text in err
    assert everything(configured) == []


def test_one_sender_is_enough(configured, capsys):
    status, _, err = run(capsys, "-f", "ann,bob", ANN)
    assert (status, err.count("\n")) == (64, 1)
    assert "expected one address" in err


@pytest.mark.parametrize(
    ("argv", "sender"),
    [
        ((), "joe@host.example.org"),
        (("-f", "x@example.org"), "x@example.org"),
        (("-fx@example.org",), "x@example.org"),
        (("-r", "x@example.org"), "x@example.org"),
        (("-f", "x"), "x@host.example.org"),
        (("-f", "<x@example.org>"), "x@example.org"),
        (("-f", "<>"), "None"),
        (("-f", "Ann <ann@example.net>"), "ann@example.net"),
        (("-f", ""), "None"),
        (("-f<>",), "None"),
    ],
)
def test_the_sender(configured, capsys, argv, sender):
    assert str(send(configured, capsys, *argv, ANN).sender) == sender


def test_what_is_missing_is_added(configured, capsys):
    queued = send(configured, capsys, ANN, message=b"Subject: hi\n\nHello.\n")
    lines = queued.header.decode().split("\r\n")
    assert re.fullmatch(r"Date: \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", lines[0])
    assert re.fullmatch(r"From: =\?utf-8\?\w\?.*\?= <joe@host\.example\.org>", lines[1])
    assert re.fullmatch(r"Message-ID: <\w+@host\.example\.org>", lines[2])
    assert lines[3:] == ["Subject: hi"]


def test_what_is_there_stays(configured, capsys):
    message = b"date: yesterday\nMESSAGE-ID : <x@y>\nfrom: me@h\nX-Odd:\tkept  \n\nx\n"
    assert send(configured, capsys, ANN, message=message).content == message.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        (("-F", "Joe"), b'From: "Joe" <joe@host.example.org>'),
        (('-FJoe "J" D',), b'From: "Joe \\"J\\" D" <joe@host.example.org>'),
        (("-FEvil\r\nBcc: x@y.test",), b'From: "EvilBcc: x@y.test" <joe@host.example.org>'),
        (("-F", "", "-f", "x@example.org"), b"<x@example.org>"),
    ],
)
def test_the_full_name(configured, capsys, argv, field):
    queued = send(configured, capsys, *argv, ANN, message=b"Subject: hi\n\nx\n")
    assert field in queued.header
    assert b"\r\nBcc" not in queued.header


@pytest.mark.parametrize("message", [b"Hello there,\nthis is all body.\n", b"\nbody\n", b"", b"no end"])
def test_input_without_a_header_gets_one(configured, capsys, message):
    queued = send(configured, capsys, ANN, message=message)
    for name in (b"Date: ", b"From: ", b"Message-ID: "):
        assert name in queued.header
    body = message.removeprefix(b"\n").replace(b"\n", b"\r\n")
    assert queued.text == (body if body.endswith(b"\n") or not body else body + b"\r\n")


def test_a_header_alone(configured, capsys):
    queued = send(configured, capsys, "-t", message=b"To: ann@example.net\nFrom: a@b.test\n")
    assert queued.recipients == [ANN]
    assert queued.content.endswith(b"From: a@b.test\r\n\r\n")


def test_a_dot_ends_the_input(configured, capsys):
    assert send(configured, capsys, ANN, message=MESSAGE + b".\nnot this\n").text == b"Hello.\r\n"


@pytest.mark.parametrize("flag", ["-i", "-oi"])
def test_or_it_does_not(configured, capsys, flag):
    queued = send(configured, capsys, flag, ANN, message=MESSAGE + b".\nthis too\n")
    assert queued.text == b"Hello.\r\n.\r\nthis too\r\n"


@given(st.lists(st.sampled_from([b".", b"\n", b"\r\n", b"a", b"\n.\n", b".."])), st.data())
def test_the_dot_is_found_wherever_the_input_is_cut(parts, data):
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    left = iter([piece for piece in pieces if piece])
    pull = sendmail._until_dot(lambda: next(left, b""))
    got = b"".join(iter(pull, b""))
    want = b""
    for line in (
        text.splitlines(keepends=True) if b"\r" not in text else re.findall(rb"[^\n]*\n|[^\n]+", text)
    ):
        if line.removesuffix(b"\n").removesuffix(b"\r") == b".":
            break
        want += line
    assert got == want


def test_a_large_message(configured, capsys):
    body = b"".join(b"%d\n" % number for number in range(100_000)) + "ü\n".encode()
    queued = send(
        configured, capsys, "-i", "-t", message=b"To: ann@example.net\nBcc: bob@example.net\n\n" + body
    )
    assert queued.recipients == [ANN, BOB]
    assert queued.body == "8BITMIME"
    assert b"Bcc" not in queued.header
    assert queued.text == body.replace(b"\n", b"\r\n")


def test_addresses_in_utf8(configured, capsys):
    queued = send(
        configured, capsys, "-t", message="To: Jürgen <jürgen@bücher.example>\nFrom: a@b.test\n\n".encode()
    )
    assert queued.recipients == ["jürgen@bücher.example"] or queued.smtputf8
    assert queued.smtputf8
    assert queued.body == "8BITMIME"


@pytest.mark.parametrize("message", [b"To: a@b.test\n\n\0", b"a\rb"])
def test_what_cannot_be_sent(configured, capsys, message):
    status, _, err = run(capsys, ANN, message=message)
    assert (status, err.count("\n")) == (65, 1)


def test_what_is_asked_of_reports_and_next_hops(configured, capsys):
    """DSN (RFC 3461), 8BITMIME, SMTPUTF8 and REQUIRETLS, as other sendmails take them."""
    asked = [
        "-N",
        "success,DELAY",
        "-R",
        "hdrs",
        "-Vorder+2B1",
        "-B8BITMIME",
        "-Osmtputf8",
        "-O",
        "RequireTLS",
    ]
    queued = send(configured, capsys, *asked, ANN, BOB)
    envelope = queued.envelope
    assert {row.recipient.notify for row in queued.rows} == {"SUCCESS,DELAY"}
    assert (envelope.ret, envelope.envid, envelope.body) == ("HDRS", "order+2B1", "8BITMIME")
    assert envelope.smtputf8
    assert envelope.requiretls


def test_reports_for_recipients_from_the_header(configured, capsys):
    queued = send(configured, capsys, "-t", "-Nnever")
    assert [row.recipient.notify for row in queued.rows] == ["NEVER"]


def test_octets_above_127_are_8bitmime_whatever_is_said(configured, capsys):
    queued = send(configured, capsys, "-B7BIT", ANN, message="Subject: x\n\ngrüß\n".encode())
    assert queued.body == "8BITMIME"


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("-N", "sometimes"), "-N: NOTIFY is NEVER, or of SUCCESS"),
        (("-N", "never,delay"), "-N: NOTIFY is NEVER, or of SUCCESS"),
        (("-R", "some"), "-R: RET is FULL or HDRS"),
        (("-V", "a b"), "-V: ENVID is xtext of up to 100 characters"),
        (
            ("-V", "a=b+c"),
            "-V: ENVID is xtext of up to 100 characters (RFC 3461 section 4.4): a=b+c is a+3Db+2Bc there",
        ),
        (("-V", "x" * 101), "-V: ENVID is xtext of up to 100 characters"),
        (("-B9BIT",), "-B: BODY is 7BIT, 8BITMIME"),
        (("-BBINARYMIME",), "-B: sendmail reads lines; expected 7BIT or 8BITMIME"),
    ],
)
def test_a_parameter_that_cannot_be_is_64(configured, capsys, argv, why):
    status, out, err = run(capsys, *argv, ANN)
    assert (status, out, err.count("\n")) == (64, "", 1)
    assert err.startswith(f"sendmail: {why}")
    assert everything(configured) == []


HARMLESS = "-om -oem -odb -o7 -oi -U -n -m -G -v -bm -h 5 -L tag -X /dev/null -Am -p ESMTP:host -d0.1"


def test_all_harmless_flags_at_once(configured, capsys):
    queued = send(configured, capsys, *HARMLESS.split(), ANN)
    assert queued.recipients == [ANN]


@pytest.mark.parametrize(
    "argv", [("-y",), ("-bt",), ("-bx",), ("-b",), ("-f",), ("--nonsense",), ("--spool",), ("-iy", ANN)]
)
def test_an_unknown_flag_is_64(configured, capsys, argv):
    status, out, err = run(capsys, *argv)
    assert (status, out, err.count("\n")) == (64, "", 1)
    assert err.startswith("sendmail: ")


def test_newaliases_does_nothing(url, capsys):
    assert run(capsys, "-bi") == (0, "", "")
    assert run(capsys, "-I") == (0, "", "")


def test_mailq_and_bp(configured, capsys):
    send(configured, capsys, ANN)
    status, out, err = run(capsys, "-bp")
    assert (status, err) == (0, "") and ANN in out
    assert sendmail.mailq([]) == 0
    assert capsys.readouterr().out == out


def test_mailq_refuses_in_its_own_name(url, capsys):
    assert sendmail.mailq(["--nonsense"]) == 64
    assert capsys.readouterr().err.startswith("mailq: unknown option --nonsense")


@pytest.mark.parametrize("argv", [("-C", ""), ("--config=",), ("--spool", "")])
def test_an_empty_name_of_a_file_is_64(url, capsys, argv):
    assert run(capsys, "-bp", *argv)[0] == 64
    assert sendmail.mailq(list(argv)) == 64


def test_a_queue_that_nobody_made_yet_is_empty(url, capsys):
    assert sendmail.mailq([]) == 0
    assert capsys.readouterr() == ("Mail queue is empty\n", "")
    assert run(capsys, "-bp") == (0, "Mail queue is empty\n", "")
    assert sendmail.mailq(["--spool", url]) == 66
    path = url.partition(":")[2]
    assert capsys.readouterr() == ("", f"mailq: there is no queue in {path}\n")


def test_a_queue_that_this_user_may_not_write_is_75(configured, capsys):
    """Whoever called keeps the message, and tries again."""
    send(configured, capsys, ANN)
    path = configured.partition(":")[2]
    (Path(path).parent / "mether.toml").chmod(0o644)
    with forbidden(path):
        status, out, err = run(capsys, ANN)
    assert (status, out) == (75, "")
    assert err.startswith(
        f"sendmail: the queue {path} cannot be written: Permission denied; expected a [[listen]]"
    )
    assert err.count("\n") == 1


def test_mailq_and_bp_fail_in_their_own_names(url, capsys, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    assert sendmail.mailq([]) != 0
    assert capsys.readouterr().err.startswith("mailq: ")
    status, out, err = run(capsys, "-bp")
    assert status != 0 and out == "" and err.startswith("sendmail: ")


@pytest.mark.parametrize("flag", ["-q", "-q30m", "-qIabc"])
def test_q_runs_the_queue(url, capsys, flag):
    with Peer() as peer:
        with fed(MESSAGE):
            assert smtpqer.main(["-n", peer.target, "me@example.org", ANN]) == 0
        capsys.readouterr()
        assert run(capsys, flag)[0] == 0
    assert [taken.recipients for taken in peer.messages] == [[ANN]]


def test_bs_speaks_smtp_on_standard_input_and_output(url):
    """Mailers that call ``sendmail -bs`` are trusted, as the user who runs them is."""
    dialogue = (
        b"EHLO localhost\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n"
        b"Subject: hi\r\n\r\nHello.\r\n.\r\nQUIT\r\n"
    )
    done = subprocess.run(
        [BIN / "sendmail", "-bs"],
        input=dialogue,
        capture_output=True,
        timeout=60,
        env={**os.environ, "METHER_CONFIG": "", "METHER_SPOOL": url},
    )
    assert done.returncode == 0, done.stderr
    codes = [line[:3] for line in done.stdout.splitlines() if line[3:4] == b" "]
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    (queued,) = everything(url)
    assert queued.recipients == [ANN]


BEGUN = b"EHLO me\nMAIL FROM:<me@example.org>\nRCPT TO:<nobody>\n"


@pytest.mark.parametrize(
    ("rest", "status", "why"),
    [
        (b"QUIT\n", 0, ""),
        (b"", 65, "sendmail: the input ends in the middle of a message, which was not queued\n"),
    ],
)
def test_bs_leaves_the_rest_to_the_replies(url, rest, status, why):
    """Whoever speaks SMTP reads what was refused; neither a log nor another program's name comes between."""
    done = subprocess.run(
        [BIN / "sendmail", "-bs"],
        input=BEGUN + rest,
        capture_output=True,
        timeout=60,
        env={**os.environ, "METHER_CONFIG": "", "METHER_SPOOL": url},
    )
    assert (done.returncode, done.stderr.decode()) == (status, why)
    assert b"\n501 5.1.3 " in done.stdout or b"\n553 5.1.3 " in done.stdout


def test_bs_at_a_terminal(url):
    """A person's lines end in LF."""
    import pty

    here, there = pty.openpty()
    env = {**os.environ, "METHER_CONFIG": "", "METHER_SPOOL": url}
    with subprocess.Popen([BIN / "sendmail", "-bs"], stdin=there, stdout=subprocess.PIPE, env=env) as process:
        os.close(there)
        assert process.stdout.readline().startswith(b"220 ")
        os.write(here, b"NOOP\n")
        assert process.stdout.readline().startswith(b"250 ")
        os.write(here, b"QUIT\n")
        assert process.stdout.readline().startswith(b"221 ")
        assert process.wait(60) == 0
    os.close(here)


def test_a_real_sendmail_has_the_queue_run_behind_it(url, tmp_path):
    """Whoever calls does not wait; the message is on its way by itself."""
    with Peer() as peer:
        config = tmp_path / "c.toml"
        config.write_text(f'[[route]]\ndomains = ["*"]\nsmtp = "{peer.target}"\n')
        done = subprocess.run(
            [BIN / "sendmail", "-i", ANN],
            input=MESSAGE,
            capture_output=True,
            timeout=60,
            env={**os.environ, "METHER_CONFIG": str(config), "METHER_SPOOL": url},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert peer.wait_for(1)
    assert peer.messages[0].recipients == [ANN]


def test_a_queue_that_cannot_be_had_is_75(configured, capsys, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    status, out, err = run(capsys, ANN)
    assert status in (73, 75) and (out, err.count("\n")) == ("", 1)


def test_a_configuration_that_is_none_is_78(url, capsys, tmp_path):
    (tmp_path / "bad.toml").write_text("[service]\nhostnam = 'x'\n")
    status, _, err = run(capsys, "-C", str(tmp_path / "bad.toml"), ANN)
    assert (status, err.count("\n")) == (78, 1)
