"""``smtpqer`` on both spools: durable before its id is printed, never twice, and the queue set off."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from peer import Peer, fed

from mether.event import mail as event
from mether.programs import smtpqer
from mether.queue import ident as ident_
from mether.queue.open import open_store
from mether.queue.store import Filter, NoSpace, StoreError

BIN = Path(sys.executable).parent
MESSAGE = b"Subject: hi\n\nHello.\n"
SENDER, ANN, BOB = "me@example.org", "ann@example.net", "bob@example.net"
ENVELOPE = ("mx.example.net", SENDER, ANN)


@pytest.fixture(autouse=True)
def _sinks():
    kept = list(event.sinks)
    yield
    event.sinks[:] = kept


def run(capsys, *argv, message=MESSAGE):
    with fed(message):
        status = smtpqer.main(list(argv))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def queue(capsys, *argv, message=MESSAGE):
    """Queue it; the id."""
    status, out, err = run(capsys, *argv, message=message)
    assert (status, err) == (0, "")
    assert out.endswith("\n") and out.count("\n") == 1
    ident_.decode(out.strip())
    return out.strip()


def entries(url):
    store = open_store(url, now=time.time())
    try:
        return store.entries(Filter())
    finally:
        store.close()


def content(url, ident):
    store = open_store(url, now=time.time())
    try:
        return store.content(ident).read()
    finally:
        store.close()


def test_the_id_names_what_is_queued(url, capsys):
    ident = queue(capsys, "-n", "[127.0.0.1]:2525", SENDER, ANN, BOB)
    (entry,) = entries(url)
    assert entry.message.ident == ident
    assert str(entry.message.envelope.reverse_path) == SENDER
    assert [str(row.recipient.forward_path) for row in entry.rows] == [ANN, BOB]
    assert {(row.route.transport, row.route.next_hop, row.pinned) for row in entry.rows} == {
        ("smtp", "[127.0.0.1]:2525", True)
    }
    assert content(url, ident) == b"Subject: hi\r\n\r\nHello.\r\n"
    assert ident.encode() in entry.message.trace


def test_the_envelope_has_what_is_asked_for(url, capsys):
    """DSN, BODY, SMTPUTF8 and REQUIRETLS, kept for the next hop."""
    asked = "--dsn failure,delay --dsn-return full --dsn-envid a=b --body 8bitmime --smtputf8 --requiretls"
    queue(capsys, "-n", *asked.split(), "mx.example.net", SENDER, ANN, BOB)
    (entry,) = entries(url)
    envelope = entry.message.envelope
    assert [row.recipient.notify for row in entry.rows] == ["FAILURE,DELAY"] * 2
    assert (envelope.ret, envelope.envid, envelope.body) == ("FULL", "a+3Db", "8BITMIME")
    assert (envelope.smtputf8, envelope.requiretls) == (True, True)


def test_a_message_that_is_not_what_it_is_said_to_be(url, capsys):
    """7bit is a promise: the queue does not take it for another."""
    status, out, err = run(capsys, "-n", "--body", "7bit", *ENVELOPE, message=b"X: y\n\n\xff\n")
    assert (status, out, err.count("\n")) == (65, "", 1)
    assert "--body 7bit" in err
    assert entries(url) == []
    queue(capsys, "-n", "--body", "7bit", *ENVELOPE)


def test_a_binary_message_is_kept_octet_for_octet(url, capsys):
    ident = queue(capsys, "-n", "--body", "binarymime", *ENVELOPE, message=b"X: y\n\n\0\r\xff")
    (entry,) = entries(url)
    assert entry.message.envelope.body == "BINARYMIME"
    assert content(url, ident) == b"X: y\n\n\0\r\xff"


@pytest.mark.parametrize(
    ("at", "wait"),
    [("90m", 5400), ("1d1h", 90000), ("2126-12-24T18:00:00Z", None), ("2001-01-01t00:00:00z", 0)],
)
def test_it_waits_for_its_time(url, capsys, at, wait):
    """It is held back as FUTURERELEASE has it (RFC 4865)."""
    queue(capsys, "--at", at, "-n", *ENVELOPE)
    (entry,) = entries(url)
    message = entry.message
    if wait is None:
        assert message.release_at == 4953808800.0
    elif wait:
        assert message.release_at == message.arrival.at + wait
    else:
        assert message.release_at == 0
    assert all(row.next_attempt == (message.release_at or message.arrival.at) for row in entry.rows)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("--at", "soon"), "--at: 'soon' is neither a time to wait"),
        (("--at", "0s"), "--at: '0s' is neither a time to wait"),
        (("--dsn", "maybe"), "--dsn: NOTIFY is NEVER"),
        (("--dsn-return", "x"), "--dsn-return: RET is FULL or HDRS"),
        (("--body", "9bit"), "--body: "),
    ],
)
def test_a_parameter_that_cannot_be_is_64(url, capsys, argv, why):
    status, out, err = run(capsys, *argv, *ENVELOPE)
    assert (status, out, err.count("\n")) == (64, "", 1)
    assert err.startswith(f"smtpqer: {why}")
    assert entries(url) == []


def test_the_id_is_printed_after_the_commit_only(url, capsys, monkeypatch):
    """QUE-1: nobody is told of a message that a power cut could take."""
    seen = []
    real = smtpqer.open_store

    def opened(*args, **named):
        store = real(*args, **named)
        commit = store.commit

        def watched(*args, **named):
            seen.append(capsys.readouterr().out)
            answer = commit(*args, **named)
            seen.append(capsys.readouterr().out)
            return answer

        store.commit = watched
        return store

    monkeypatch.setattr(smtpqer, "open_store", opened)
    queue(capsys, "-n", *ENVELOPE)
    assert seen == ["", ""]


@pytest.mark.parametrize("message", [MESSAGE, b"x" * 99_999 + b"\n"])
@pytest.mark.parametrize("trouble", [StoreError("the queue is locked"), NoSpace("no space left")])
def test_without_a_commit_there_is_no_id(url, capsys, monkeypatch, trouble, message):
    real = smtpqer.open_store

    def opened(*args, **named):
        store = real(*args, **named)

        def refuse(*args, **named):
            raise trouble

        store.apply = refuse
        return store

    monkeypatch.setattr(smtpqer, "open_store", opened)
    status, out, err = run(capsys, "-n", *ENVELOPE, message=message)
    assert (status, out) == (75, "")
    assert err == f"smtpqer: {trouble}\n"
    monkeypatch.undo()
    monkeypatch.setenv("METHER_SPOOL", url)
    assert entries(url) == []
    assert left_over(url) == []


def left_over(url):
    """Files of content that are in the spool."""
    spool = Path(url.partition(":")[2])
    return [
        path
        for path in spool.rglob("*")
        if path.is_file()
        and path.stat().st_size > 50_000
        and ("incoming" in path.parts or "content" in path.parts or path.suffix == ".msg")
    ]


def test_the_same_key_gives_the_same_id_and_one_message(url, capsys):
    first = queue(capsys, "-n", "--key", "invoice 7", *ENVELOPE)
    large = b"y" * 100_000 + b"\n"
    assert queue(capsys, "-n", "--key=invoice 7", *ENVELOPE) == first
    assert queue(capsys, "-n", "--key=invoice 7", *ENVELOPE, message=large) == first
    assert queue(capsys, "-n", "--key=invoice 8", *ENVELOPE) != first
    assert len(entries(url)) == 2
    assert left_over(url) == []


def test_a_key_outlives_its_message(url, capsys):
    with Peer() as peer:
        first = queue(capsys, "--key", "once", peer.target, SENDER, ANN)
        assert queue(capsys, "--key", "once", peer.target, SENDER, ANN) == first
    assert len(peer.messages) == 1
    assert entries(url) == []


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_length(url, capsys, key):
    status, out, err = run(capsys, "-n", "--key", key, *ENVELOPE)
    assert (status, out, err.count("\n")) == (64, "", 1)


def test_a_large_message_lies_in_a_file(url, capsys):
    message = b"".join(b"line %d \xfc\n" % number for number in range(100_000))
    ident = queue(capsys, "-n", *ENVELOPE, message=message)
    assert content(url, ident) == message.replace(b"\n", b"\r\n")
    (entry,) = entries(url)
    assert entry.message.envelope.body == "8BITMIME"


def test_it_runs_the_queue(url, capsys):
    with Peer() as peer:
        ident = queue(capsys, "-h", "erewhon.peter.edu", peer.target, SENDER, ANN, BOB)
    (taken,) = peer.messages
    assert (taken.sender, taken.recipients) == (SENDER, [ANN, BOB])
    assert taken.content.startswith(b"Received: ") and ident.encode() in taken.content
    assert taken.content.endswith(b"Subject: hi\r\n\r\nHello.\r\n")
    assert peer.sessions[0][0] == "EHLO erewhon.peter.edu"
    assert entries(url) == []


def test_a_large_8_bit_message_says_so_when_it_is_relayed(url, capsys):
    """CLI-3, RFC 6152: what lies in a file too."""
    with Peer() as peer:
        queue(capsys, peer.target, SENDER, ANN, message="ü\n".encode() * 50_000)
    assert "BODY=8BITMIME" in peer.sessions[0][1]


def test_what_the_run_cannot_deliver_stays(url, capsys):
    with Peer({"RCPT": ["450 4.2.1 later"]}) as peer:
        ident = queue(capsys, peer.target, SENDER, ANN)
    (entry,) = entries(url)
    assert entry.message.ident == ident
    assert "450 4.2.1 later" in str(entry.rows[0].last.reply)
    assert entry.rows[0].next_attempt > time.time()


def test_the_helo_is_kept_with_the_message(url, capsys):
    queue(capsys, "-n", "-h", "erewhon.peter.edu", *ENVELOPE)
    assert entries(url)[0].rows[0].route.helo == "erewhon.peter.edu"


def test_it_wakes_a_daemon_instead_of_running(url, capsys):
    daemon = subprocess.Popen([BIN / "runsmtpq", "--daemon"], stderr=subprocess.PIPE, text=True)
    try:
        line = daemon.stderr.readline()
        assert "runsmtpq" in line
        # Its socket is in the spool before it says that it is there.
        with Peer() as peer:
            ident = queue(capsys, peer.target, SENDER, ANN)
            for line in daemon.stderr:
                if ident in line and "status=" in line:
                    break
            assert "status=sent" in line
            assert peer.wait_for(1)  # it notes what it took after it has answered
        assert len(peer.messages) == 1
        daemon.send_signal(signal.SIGTERM)
        assert "Traceback" not in daemon.stderr.read()
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()
    assert entries(url) == []


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("mx.example.net", SENDER),
        ("mx.example.net", SENDER, "nobody"),
        ("mx.example.net", SENDER, "a@b.test\r\nDATA"),
        ("a b", SENDER, ANN),
        ("-h", "a\nb", *ENVELOPE),
        ("--spool", "postgres:x", *ENVELOPE),
        ("-x", *ENVELOPE),
    ],
)
def test_wrong_arguments_are_one_line(url, capsys, argv):
    status, out, err = run(capsys, *argv)
    assert status == 64
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("smtpqer: ")


@pytest.mark.parametrize("message", [b"a\0b\n", b"a\rb\n", b"z" * 80_000 + b"\r\rz\n"])
def test_what_cannot_be_sent_is_not_queued(url, capsys, message):
    status, out, err = run(capsys, "-n", *ENVELOPE, message=message)
    assert (status, out, err.count("\n")) == (65, "", 1)
    assert entries(url) == []
    assert left_over(url) == []


def test_a_spool_that_is_no_directory(url, capsys, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    status, out, err = run(capsys, "-n", *ENVELOPE)
    assert status in (73, 75) and (out, err.count("\n")) == ("", 1)
    assert str(tmp_path / "spool") in err


def process(url, message, **more):
    return subprocess.run(
        [BIN / "smtpqer", "-n", *ENVELOPE],
        input=message,
        capture_output=True,
        env={**os.environ, "METHER_SPOOL": url, "METHER_CONFIG": ""},
        timeout=60,
        **more,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody without permission")
def test_a_spool_one_may_not_write(url, capsys):
    ident = queue(capsys, "-n", *ENVELOPE)
    os.seteuid(65534)
    try:
        status, out, err = run(capsys, "-n", *ENVELOPE)
    finally:
        os.seteuid(0)
    assert status in (75, 77)
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("smtpqer: ") and ("ermission denied" in err or "unable to open" in err)
    assert [entry.message.ident for entry in entries(url)] == [ident]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_what_is_queued_is_no_failure_because_its_id_cannot_be_printed(url):
    """A status other than 0 would have the caller queue the message again."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [BIN / "smtpqer", "-n", *ENVELOPE],
            input=MESSAGE,
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "METHER_SPOOL": url, "METHER_CONFIG": ""},
            timeout=60,
        )
    (entry,) = entries(url)
    line = f"smtpqer: queued as {entry.message.ident}, which cannot be printed: No space left on device\n"
    assert (done.returncode, done.stderr) == (0, line.encode())


@pytest.fixture
def small_disk(url, tmp_path):
    """A file system of 2 MiB where the queue will be; the queue's URL."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield f"{url.partition(':')[0]}:{disk}/spool"
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("size", [4 << 20, 40_000])
def test_a_full_disk_defers_and_loses_nothing(small_disk, size):
    first = process(small_disk, MESSAGE)
    assert first.returncode == 0, first.stderr
    ids = [first.stdout.decode().strip()]
    # Content in a file fails at once; messages in rows fill the disk first.
    for _ in range(200):
        done = process(small_disk, b"x" * (size - 1) + b"\n")
        if done.returncode:
            break
        ids.append(done.stdout.decode().strip())
    assert done.returncode == 75
    assert done.stdout == b""
    assert done.stderr.startswith(b"smtpqer: ") and done.stderr.count(b"\n") == 1
    assert sorted(entry.message.ident for entry in entries(small_disk)) == sorted(ids)
    assert content(small_disk, ids[0]) == MESSAGE.replace(b"\n", b"\r\n")
