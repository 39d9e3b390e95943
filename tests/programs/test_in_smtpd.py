"""``in.smtpd`` as inetd, systemd and a pipe start it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from peer import Peer, fed, standard_input
from queues import put

from mether.envelope import By
from mether.event import mail as event
from mether.programs import in_smtpd
from mether.programs.options import UsageError
from mether.queue.open import open_store
from mether.queue.store import Filter

BIN = Path(sys.executable).parent
LOOPBACK, FOREIGN = "7f000001.4321", "c0000201.4321"
DIALOGUE = (
    b"EHLO client.example\r\n",
    b"MAIL FROM:<me@example.org>\r\nRCPT TO:<ann@example.net>\r\n",
    b"DATA\r\n",
    b"Subject: hi\r\n\r\nHello.\r\n.\r\n",
    b"QUIT\r\n",
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    kept = list(event.sinks)
    for name in ("REMOTE_ADDR", "REMOTE_PORT"):
        monkeypatch.delenv(name, raising=False)
    yield
    event.sinks[:] = kept


@pytest.fixture
def configured(url, tmp_path, monkeypatch):
    path = tmp_path / "mether.toml"
    path.write_text(
        '[service]\nhostname = "mx.example.org"\n[[listen]]\naddress = "127.0.0.1:2525"\n'
        'relay_from = ["127.0.0.0/8", "::1/128", "2001:db8::/32"]\n'
        '[[route]]\ndomains = ["local.test"]\nmaildir = "mail/{user}"\n'
    )
    monkeypatch.setenv("METHER_CONFIG", str(path))
    return url


def entries(url):
    store = open_store(url, now=time.time())
    try:
        return store.entries(Filter())
    finally:
        store.close()


def start(argv, descriptor, **environ):
    """in.smtpd on this socket, its log on a pipe."""
    return subprocess.Popen(
        [BIN / "in.smtpd", *argv],
        stdin=descriptor,
        stdout=descriptor,
        stderr=subprocess.PIPE,
        env={**os.environ, **environ},
        text=True,
    )


def converse(argv, pieces=DIALOGUE, *, ours=None, theirs=None, **environ):
    """The replies, the log and the status of a session in which we wait for each reply."""
    if ours is None:
        ours, theirs = socket.socketpair()
    ours.settimeout(60)
    process = start(argv, theirs, **environ)
    theirs.close()
    replies = []
    with ours, ours.makefile("rb") as lines:

        def reply():
            while True:
                line = lines.readline().decode()
                replies.append(line)
                if line[3:4] != "-":
                    return line

        reply()
        for piece in pieces:
            ours.sendall(piece)
            expected = piece.count(b"\r\n") if not piece.startswith(b"Subject") else 1
            for _ in range(expected):
                reply()
        lines.read()
    log = process.stderr.read()
    process.stderr.close()
    return replies, log, process.wait(60)


def codes(replies):
    return [line[:3] for line in replies if line[3:4] == " "]


@pytest.mark.parametrize(
    ("argument", "source"),
    [
        ("7f000001.25", ("127.0.0.1", 25)),
        ("C0000201.65535", ("192.0.2.1", 65535)),
        ("20010db8000000000000000000000001.0", ("2001:db8::1", 0)),
    ],
)
def test_the_source_as_in_1986(argument, source):
    assert in_smtpd.parse_source(argument) == source


@pytest.mark.parametrize(
    "argument",
    ["", ".", "7f000001", "7f000001.", ".25", "7f0001.25", "7f 00 00 01.25", "7f000001.65536", "7f000001.-1",
     "7f000001.2x", "7f000001.٢٥x", "127.0.0.1.25", "g0000001.25", "7f000001.25.1", "7f00000100000000.1"],
)  # fmt: skip
def test_a_source_that_is_none(argument):
    with pytest.raises(UsageError):
        in_smtpd.parse_source(argument)


@pytest.mark.parametrize("argv", [("nonsense",), (LOOPBACK, "more"), ("-x",), ("--json",), ("-C",)])
def test_wrong_arguments_are_64_and_one_line(configured, capsys, argv):
    with fed(b""):
        status = in_smtpd.main(list(argv))
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (64, "", 1)
    assert err.startswith("in.smtpd: ")


def test_a_session_from_a_trusted_source(configured):
    replies, log, status = converse([LOOPBACK])
    assert codes(replies) == ["220", "250", "250", "250", "354", "250", "221"]
    assert status == 0
    (entry,) = entries(configured)
    assert entry.message.arrival.address == "127.0.0.1"
    assert f"{entry.message.ident}" in replies[-2]
    assert "127.0.0.1" in log and "Traceback" not in log


def test_a_foreign_source_may_not_relay(configured):
    """SEC-1."""
    relay = (*DIALOGUE[:2], b"QUIT\r\n")
    replies, _, status = converse([FOREIGN], relay)
    assert codes(replies) == ["220", "250", "250", "550", "221"]
    assert any(line.startswith("550 5.7.1 ") for line in replies)
    assert status == 0 and entries(configured) == []


def listener(configured, more):
    """The first listener has these keys as well."""
    path = Path(os.environ["METHER_CONFIG"])
    path.write_text(path.read_text().replace("relay_from =", more + "relay_from ="))


def test_it_offers_no_tls_that_it_cannot_begin(configured):
    """TLS-2: STARTTLS is offered where it can be had; in.smtpd has none, whatever the listeners have."""
    path = Path(os.environ["METHER_CONFIG"])
    path.write_text(path.read_text() + '[tls]\ncertificate = ["nowhere.pem"]\n')
    replies, _, _ = converse([FOREIGN], (b"EHLO c.example\r\n", b"STARTTLS\r\n", b"QUIT\r\n"))
    assert not any("STARTTLS" in line for line in replies if line.startswith("250"))
    assert codes(replies) == ["220", "250", "502", "221"]


def test_a_foreign_source_finds_the_role_of_the_first_listener(configured):
    """LMT-1"""
    listener(configured, 'role = "lmtp"\n')
    replies, _, _ = converse([FOREIGN], (b"EHLO c.example\r\n", b"LHLO c.example\r\n", b"QUIT\r\n"))
    assert codes(replies) == ["220", "500", "250", "221"]


def test_a_batch_is_smtp_whatever_the_first_listener_is(configured, tmp_path):
    listener(configured, 'role = "lmtp"\n')
    batch = tmp_path / "batch"
    batch.write_bytes(b"".join(DIALOGUE))
    with batch.open("rb") as file:
        ended = subprocess.run([BIN / "in.smtpd"], stdin=file, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0)
    assert len(entries(configured)) == 1


def test_a_foreign_source_reaches_local_domains(configured):
    local = [piece.replace(b"ann@example.net", b"ann@local.test") for piece in DIALOGUE]
    replies, _, _ = converse([FOREIGN], local)
    assert codes(replies)[-2:] == ["250", "221"]
    (entry,) = entries(configured)
    assert entry.message.arrival.address == "192.0.2.1"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"REMOTE_ADDR": "127.0.0.9", "REMOTE_PORT": "99"}, "127.0.0.9"),
        ({"REMOTE_ADDR": "2001:db8::7", "REMOTE_PORT": "x"}, "2001:db8::7"),
    ],
)
def test_the_source_from_the_environment(configured, environ, address):
    converse([], **environ)
    (entry,) = entries(configured)
    assert entry.message.arrival.address == address


def test_the_argument_counts_more_than_the_environment(configured):
    converse([LOOPBACK], REMOTE_ADDR="192.0.2.1", REMOTE_PORT="9")
    assert entries(configured)[0].message.arrival.address == "127.0.0.1"


def test_the_source_from_the_socket(configured):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    replies, _, _ = converse([], ours=ours, theirs=theirs, REMOTE_ADDR="nonsense")
    assert codes(replies)[-2:] == ["250", "221"]
    assert entries(configured)[0].message.arrival.address == "127.0.0.1"


def test_the_log_never_goes_to_the_client(configured):
    """Under inetd all three descriptors are the client's connection: the log goes to syslog."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    process = subprocess.Popen([BIN / "in.smtpd", FOREIGN], stdin=theirs, stdout=theirs, stderr=theirs)
    theirs.close()
    with ours, ours.makefile("rb") as lines:
        got = [lines.readline()]
        ours.sendall(b"HELO c.example\r\n")
        got.append(lines.readline())
        ours.sendall(DIALOGUE[1] + b"QUIT\r\n")
        got += lines.read().splitlines()
    assert process.wait(60) == 0
    assert [line[:3] for line in got] == [b"220", b"250", b"250", b"550", b"221"]


def test_a_client_that_goes_away(configured):
    ours, theirs = socket.socketpair()
    process = start([LOOPBACK], theirs)
    theirs.close()
    ours.sendall(b"EHLO c.example\r\nMAIL FROM:<me@example.org>\r\n")
    ours.close()
    log = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) in (0, 74)
    assert "Traceback" not in log and entries(configured) == []


def batch(capfd, data, *argv):
    with fed(data):
        status = in_smtpd.main(list(argv))
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return status, out, err


def test_batch_smtp_from_a_pipe_is_trusted(configured, capfd):
    """RFC 2442: everything is there at once, and the user who gives it may relay."""
    one = b"MAIL FROM:<me@example.org>\nRCPT TO:<ann@example.net>\nDATA\nSubject: hi\n\nHello.\n.\n"
    data = (b"EHLO batch\n" + one + one + b"QUIT\n").replace(b"\n", b"\r\n")
    status, out, _ = batch(capfd, data)
    assert status == 0
    assert codes(out.splitlines(keepends=True)) == ["220", "250"] + ["250", "250", "354", "250"] * 2 + ["221"]
    assert len(entries(configured)) == 2


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        ([FOREIGN], {}),
        ([], {"REMOTE_ADDR": "192.0.2.1"}),
        ([], {"REMOTE_ADDR": "2001:db9::1", "REMOTE_PORT": "25"}),
        ([], {"REMOTE_ADDR": "nonsense"}),
    ],
)
def test_a_named_client_on_a_pipe_is_not_trusted(configured, argv, environ):
    """SEC-1: a wrapper (TLS, tcpserver) hands a client's session over on pipes."""
    process = subprocess.Popen(
        [BIN / "in.smtpd", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environ},
        text=True,
    )
    replies = [process.stdout.readline()]
    for line in ("HELO c.example", "MAIL FROM:<me@example.org>", "RCPT TO:<ann@example.net>", "QUIT"):
        process.stdin.write(line + "\r\n")
        process.stdin.flush()
        replies.append(process.stdout.readline())
    _, log = process.communicate(timeout=60)
    assert codes(replies) == ["220", "250", "250", "550", "221"], log
    assert process.returncode == 0 and entries(configured) == []


def test_batch_smtp_without_quit(configured, capfd):
    data = b"".join(DIALOGUE[:4])
    status, _, _ = batch(capfd, data)
    assert status == 0
    assert len(entries(configured)) == 1


EVERYTHING = {
    "body": "8BITMIME",
    "smtputf8": True,
    "requiretls": True,
    "ret": "HDRS",
    "envid": "QQ+2B1",
    "auth": "joe@example.org",
    "priority": 7,
}


def test_what_smtpq_exports_it_reads(configured, tmp_path):
    """A queue goes from one host to another through a pipe, and no envelope loses anything."""
    now = float(int(time.time()))
    binary = b"X: y\r\n\r\nBDAT 5\n\0\r.\n\xff"
    store = open_store(configured, now=now)
    put(store, "bob@example.net", "cat@example.net", notify="SUCCESS,DELAY", **EVERYTHING)
    put(
        store,
        "grüße@example.net",
        sender="jürgen@example.org",
        content=binary,
        **{**EVERYTHING, "body": "BINARYMIME"},
    )
    put(store, "bob@local.test", sender="", content=b"X: " + b"x" * 200_000 + b"\r\n", auth="<>", priority=-9)
    put(store, "later@example.net", hold="for;7776000", release_at=now + 7776000)
    put(store, "soon@example.net", by=By(7200, "R", True))
    before = store.entries(Filter())
    content = [store.content(entry.message.ident).read() for entry in before]
    store.close()
    other = f"sqlite:{tmp_path / 'other'}"
    exported = subprocess.run([BIN / "smtpq", "export", "--all"], capture_output=True, timeout=60, check=True)
    assert exported.stderr == b""
    done = subprocess.run(
        [BIN / "in.smtpd", "--spool", other], input=exported.stdout, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    store = open_store(other, now=time.time())
    after = store.entries(Filter())
    assert len(after) == len(before)
    for old, new, octets in zip(before, after, content, strict=True):
        assert [row.recipient for row in new.rows] == [row.recipient for row in old.rows]
        for name in ("reverse_path", "body", "smtputf8", "requiretls", "ret", "envid", "auth", "priority"):
            assert getattr(new.message.envelope, name) == getattr(old.message.envelope, name), name
        assert new.message.release_at == old.message.release_at
        assert store.content(new.message.ident).read() == old.message.trace + octets
    assert [entry.message.envelope.hold is None for entry in after] == [True, True, True, False, True]
    by = after[-1].message.envelope.by
    assert by is not None and by.mode == "R" and by.trace and 7000 < by.seconds <= 7200
    store.close()


def test_a_client_of_the_network_is_not_offered_all_that(configured):
    """RFC 8689 section 4, RFC 4865 section 4.2."""
    replies, _, _ = converse([FOREIGN], (b"EHLO c.example\r\n", b"QUIT\r\n"))
    words = {line[4:].split()[0] for line in replies}
    assert not words & {"REQUIRETLS", "AUTH", "FUTURERELEASE"}


def test_a_daemon_is_woken(url, tmp_path):
    with Peer() as peer:
        config = tmp_path / "c.toml"
        config.write_text(f'[[route]]\ndomains = ["*"]\nsmtp = "{peer.target}"\n')
        environ = {"METHER_CONFIG": str(config)}
        daemon = subprocess.Popen(
            [BIN / "runsmtpq", "--daemon"], stderr=subprocess.PIPE, env={**os.environ, **environ}
        )
        try:
            daemon.stderr.readline()
            converse([LOOPBACK], **environ)
            assert peer.wait_for(1)
            daemon.terminate()
            daemon.stderr.read()
            assert daemon.wait(60) == 0
        finally:
            daemon.kill()
            daemon.wait()
            daemon.stderr.close()
    assert peer.messages[0].recipients == ["ann@example.net"]


def test_a_descriptor_that_is_closed(configured, capfd):
    read, write = os.pipe()
    os.close(write)
    with standard_input(read):
        status = in_smtpd.main([])
    os.close(read)
    assert status in (0, 74)
    assert "Traceback" not in capfd.readouterr().err


def test_a_queue_that_cannot_be_had_is_75(configured, capfd, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    status, _, err = batch(capfd, b"QUIT\r\n", LOOPBACK)
    assert status in (73, 75)
    assert err.count("\n") == 1


def test_a_batch_with_lf_lines(configured, capfd):
    """An editor writes LF; a file of this host is taken as it is written."""
    data = b"HELO batch\nMAIL FROM:<me@example.org>\nRCPT TO:<ann@example.net>\nDATA\nHi.\n.\nQUIT\n"
    status, _, _ = batch(capfd, data)
    assert status == 0
    assert len(entries(configured)) == 1


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (b"RCPT TO:<ann@example.net>\r\nDATA\r\nHello.\r\n", 65),
        (b"RCPT TO:<ann@example.net>\r\n", 65),
        (b"RCPT TO:<@@>\r\nRSET\r\nQUIT\r\n", 69),
    ],
)
def test_the_status_tells_what_became_of_a_batch(configured, capfd, last, expected):
    """Nobody reads the replies: who removes what he exported must know that all of it was taken."""
    status, _, err = batch(capfd, b"HELO batch\r\nMAIL FROM:<me@example.org>\r\n" + last)
    assert status == expected
    assert "in.smtpd: " in err and entries(configured) == []
