"""``runsmtpq``: what is due and no more, what was named, and what would be done."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from peer import Peer, fed

from mether.event import mail as event
from mether.programs import runsmtpq, smtpqer
from mether.queue.ident import new_id
from mether.queue.open import open_store
from mether.queue.store import Filter

BIN = Path(sys.executable).parent
SENDER, ANN = "me@example.org", "ann@example.net"


@pytest.fixture(autouse=True)
def _sinks():
    kept = list(event.sinks)
    yield
    event.sinks[:] = kept


@pytest.fixture
def peer(url):
    with Peer() as peer:
        yield peer


def put(capsys, target, recipient=ANN, sender=SENDER):
    with fed(b"Subject: hi\n\nHello.\n"):
        assert smtpqer.main(["-n", target, sender, recipient]) == 0
    return capsys.readouterr().out.strip()


def run(capsys, *argv):
    """stdout and the log of a run that succeeds."""
    status = runsmtpq.main(list(argv))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert status == 0, err
    return out, err


def recipients(peer):
    return sorted(one for taken in peer.messages for one in taken.recipients)


def defer(capsys, peer, *names):
    """Queue messages that were tried once, in vain; their ids."""
    peer.replies["RCPT"] = ["450 4.2.1 later"]
    ids = [put(capsys, peer.target, f"{name}@example.net") for name in names]
    run(capsys)
    del peer.replies["RCPT"]
    return ids


def snapshot(url):
    """Everything the queue knows."""
    store = open_store(url, now=time.time())
    try:
        return [
            (
                entry.message.ident,
                entry.status,
                [
                    (row.number, row.attempts, row.next_attempt, row.owner, str(row.last))
                    for row in entry.rows
                ],
                len(store.attempts(entry.message.ident)),
            )
            for entry in store.entries(Filter())
        ]
    finally:
        store.close()


def test_an_empty_queue(url, capsys):
    open_store(url, now=time.time()).close()
    assert run(capsys) == ("", "")
    assert run(capsys, "--all") == ("", "")
    assert run(capsys, "--dry-run") == ("", "")


def test_it_tries_what_is_due_and_logs_it(url, peer, capsys):
    ident = put(capsys, peer.target)
    out, err = run(capsys)
    assert out == ""
    assert re.search(rf"mether/smtp\[\d+\]: {ident}: to=<{ANN}>, .*dsn=2\.0\.0, status=sent", err)
    assert recipients(peer) == [ANN]
    assert snapshot(url) == []


def test_what_is_not_due_waits(url, peer, capsys):
    """QUE-5: a retry waits for its time."""
    defer(capsys, peer, "ann")
    before = snapshot(url)
    run(capsys)
    assert recipients(peer) == [] and snapshot(url) == before


def test_a_person_is_told_that_nothing_is_due(url, peer, capsys, monkeypatch):
    """And cron is not, which would mail it."""
    peer.replies["RCPT"] = ["451 4.2.1 later"]
    put(capsys, peer.target)
    put(capsys, peer.target, recipient="bob@example.net")
    assert runsmtpq.main([]) == 0
    capsys.readouterr()
    assert runsmtpq.main([]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert runsmtpq.main([]) == 0
    assert re.fullmatch(
        r"runsmtpq: nothing is due: 2 messages wait, the next until \S+ \S+; --all tries now\n",
        capsys.readouterr().err,
    )


def test_all_regardless_of_time(url, peer, capsys):
    defer(capsys, peer, "ann", "bob")
    run(capsys, "--all")
    assert recipients(peer) == ["ann@example.net", "bob@example.net"]
    assert snapshot(url) == []


@pytest.mark.parametrize("form", ["{}", "queue/{}.sh", "/var/spool/smtpq/queue/{}.sh"])
def test_only_what_was_named(url, peer, capsys, form):
    first, second = defer(capsys, peer, "ann", "bob")
    run(capsys, form.format(second))
    assert recipients(peer) == ["bob@example.net"]
    assert [row[0] for row in snapshot(url)] == [first]


def test_an_id_in_small_letters(url, peer, capsys):
    (ident,) = defer(capsys, peer, "ann")
    run(capsys, ident.lower())
    assert snapshot(url) == []


def test_a_next_hop(url, peer, capsys):
    with Peer() as other:
        put(capsys, other.target, "bob@example.net")
        (first,) = [put(capsys, peer.target)]
        out, _ = run(capsys, "--dry-run", "--next-hop", f"127.0.0.1:{peer.port}")
        assert first in out and out.count("\n") == 1
        run(capsys, "--next-hop", f"smtp:[127.0.0.1]:{peer.port}")
        assert recipients(peer) == [ANN] and not other.sessions
    assert first not in [row[0] for row in snapshot(url)]


def test_what_is_held_stays(url, peer, capsys):
    ident = put(capsys, peer.target)
    store = open_store(url, now=time.time())
    store.change(Filter(), "hold", now=time.time(), reason="wait")
    store.close()
    run(capsys, "--all")
    run(capsys, ident)
    assert not peer.sessions
    out, _ = run(capsys, "--dry-run", "--all")
    assert f"{ident} {ANN}" in out and "hold" in out


def test_a_dry_run_changes_nothing(url, peer, capsys):
    defer(capsys, peer, "ann")
    fresh = put(capsys, peer.target, "bob@example.net")
    sessions = len(peer.sessions)
    before = snapshot(url)
    out, _ = run(capsys, "--dry-run")
    first, second = out.splitlines()
    assert " wait until " in first and "its retry time has not come" in first
    assert second.startswith(f"{fresh} bob@example.net by ") and second.endswith(": try, it is due")
    out, _ = run(capsys, "--dry-run", "--all")
    assert out.count(": try, ") == 2
    out, _ = run(capsys, "--dry-run", fresh)
    assert out.splitlines() == [second]
    assert runsmtpq.main(["--dry-run", "--next-hop", "else.example"]) == 66
    assert capsys.readouterr() == ("", "runsmtpq: no next hop is known that is like else.example\n")
    assert snapshot(url) == before and len(peer.sessions) == sessions


def test_a_dry_run_in_json(url, peer, capsys):
    ident = put(capsys, peer.target)
    out, _ = run(capsys, "--dry-run", "--json")
    assert json.loads(out) == {
        "queue_id": ident,
        "recipient": ANN,
        "transport": "smtp",
        "next_hop": f"[127.0.0.1]:{peer.port}",
        "do": "try",
        "why": "it is due",
        "when": json.loads(out)["when"],
    }


@pytest.mark.parametrize("written", ["relative", "unix", "iso", "clock"])
def test_a_dry_run_at_another_time(url, peer, capsys, written):
    defer(capsys, peer, "ann")
    later = time.time() + 6 * 3600
    at = {
        "relative": "+6h",
        "unix": f"{later:.1f}",
        "iso": time.strftime("%Y-%m-%dT%H:%M", time.localtime(later)),
        "clock": time.strftime("%H:%M", time.localtime(later)),
    }[written]
    assert ": try, " in run(capsys, "--dry-run", "--at", at)[0]
    assert ": wait until " in run(capsys, "--dry-run", "--at", "+1s")[0]


def test_a_sender_is_told_that_mail_is_delayed(url, peer, capsys, tmp_path):
    """DSN-6, BNC-9: once for each age, with what the next hop said; the message stays, and its time too."""
    file = tmp_path / "mether.toml"
    file.write_text(f'[retry]\nwarn = ["1ms", "2h"]\n[[route]]\ndomains = ["*"]\nsmtp = "{peer.target}"\n')
    peer.replies["RCPT"] = ["450 4.2.2 mailbox full"]
    with fed(b"Subject: hi\n\nHello.\n"):
        assert smtpqer.main(["-C", str(file), "-n", peer.target, SENDER, ANN]) == 0
    ident = capsys.readouterr().out.strip()
    run(capsys, "-C", str(file))
    del peer.replies["RCPT"]
    out, _ = run(capsys, "-C", str(file), "--dry-run")
    assert ": warn, its sender is told of the delay" in out
    (before,) = [each for each in snapshot(url) if each[0] == ident]
    for _ in range(3):
        run(capsys, "-C", str(file))
    assert recipients(peer) == [SENDER]
    (report,) = peer.messages
    assert report.sender == ""
    assert b"Action: delayed" in report.content and b"450 4.2.2 mailbox full" in report.content
    assert snapshot(url) == [before]
    out, _ = run(capsys, "-C", str(file), "--dry-run")
    assert ": wait until " in out


def test_what_has_expired_is_returned_in_the_end(url, peer, capsys):
    ident = put(capsys, peer.target, sender="")
    out, _ = run(capsys, "--dry-run", "--at", "+6d")
    assert out.startswith(f"{ident} {ANN} by ")


@pytest.mark.parametrize(
    "argv",
    [
        ("nonsense",),
        ("--all", "--next-hop", "x"),
        ("--daemon", "--all"),
        ("--daemon", "--dry-run"),
        ("--at", "+6h"),
        ("--json",),
        ("--dry-run", "--at", "yesterday"),
        ("--dry-run", "--at", "+1y"),
        ("--dry-run", "--at", "9" * 400),
        ("--dry-run", "--at", "nan"),
        ("--dry-run", "--at", "1e400"),
        ("--dry-run", "--at", "99999-01-01"),
        ("--next-hop",),
        ("--next-hop", "mx\udcff.example"),
        ("--next-hop", "mx\udcff.example", "--dry-run"),
        ("-C", ""),
        ("--config=",),
        ("--spool", ""),
        ("-x",),
    ],
)
def test_wrong_arguments_are_64_and_one_line(url, capsys, argv):
    status = runsmtpq.main(list(argv))
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (64, "", 1), err
    assert err.startswith("runsmtpq: ")


def test_what_is_not_there_is_told_and_the_rest_is_tried(url, peer, capsys):
    ident, gone = put(capsys, peer.target), new_id(time.time(), 5)
    assert runsmtpq.main([gone]) == 66
    assert capsys.readouterr() == ("", f"runsmtpq: not in the queue: {gone}\n")
    assert runsmtpq.main(["--next-hop", "nowhere.example"]) == 66
    assert not peer.sessions
    assert runsmtpq.main([ident, gone]) == 66
    assert recipients(peer) == [ANN]


def test_what_is_held_and_named_is_told(url, peer, capsys):
    ident = put(capsys, peer.target)
    store = open_store(url, now=time.time())
    store.change(Filter(), "hold", now=time.time())
    store.close()
    _, err = run(capsys, ident)
    assert err.startswith(f"runsmtpq: {ident} is held, and is not tried; smtpq release lets it go on\n")
    assert not peer.sessions


def test_a_dry_run_makes_no_queue(url, capsys, tmp_path):
    status = runsmtpq.main(["--dry-run"])
    out, err = capsys.readouterr()
    assert (status, out, err) == (66, "", f"runsmtpq: there is no queue in {tmp_path / 'spool'}\n")
    assert runsmtpq.main([]) == 66
    assert not (tmp_path / "spool").exists()


def test_a_queue_that_another_runs_is_75(url, peer, capsys):
    """One process at a time runs a directory spool: who cannot must not say that it did."""
    if not url.startswith("directory:"):
        pytest.skip("any number of processes work a database")
    put(capsys, peer.target)
    store = open_store(url, now=time.time())
    (claim,) = store.claim(1, time.time())
    try:
        assert runsmtpq.main([]) == 75
    finally:
        store.release([claim])
        store.close()
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("runsmtpq: ") and "is being run by another process" in err


def test_a_run_is_not_woken_in_the_place_of_one_that_stays(url, peer, capsys, monkeypatch):
    """Whoever queues a message leaves it to a process that it woke: one that ends soon is none."""
    woken = []

    async def once(self, select):
        other = open_store(url, now=time.time())
        woken.append(other.wake())
        other.close()
        return 0

    monkeypatch.setattr("mether.runner.run.Runner.once", once)
    open_store(url, now=time.time()).close()
    run(capsys)
    assert woken == [0]


def test_a_daemon_until_sigterm(url, peer, capsys):
    put(capsys, peer.target)
    daemon = subprocess.Popen([BIN / "runsmtpq", "--daemon"], stderr=subprocess.PIPE, text=True)
    try:
        for line in daemon.stderr:
            if "status=sent" in line:
                break
        daemon.send_signal(signal.SIGTERM)
        rest = daemon.stderr.read()
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()
    assert "Traceback" not in rest
    assert recipients(peer) == [ANN]


def test_a_daemon_reads_its_configuration_again(url, peer, capsys, tmp_path, monkeypatch):
    """As smtpd does: what is tried from then on goes by it; where it is wrong everything stays.  Its manager
    is told, and given signs of life."""
    config = tmp_path / "c.toml"
    config.write_text('[service]\nhostname = "one.example"\n[log]\nformat = "json"\n')
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(60)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    daemon = subprocess.Popen([BIN / "runsmtpq", "--daemon", "-C", config], stderr=subprocess.PIPE, text=True)
    monkeypatch.delenv("NOTIFY_SOCKET")

    def hear(word):
        while (lines := manager.recv(4096).decode().split("\n"))[0] != word:
            assert lines == ["WATCHDOG=1"]
        return lines

    try:
        ready = hear("READY=1")
        assert ready[1:] == [f"MAINPID={daemon.pid}", "STATUS=working the queue"]
        hear("WATCHDOG=1")
        for count, (name, text) in enumerate(
            (
                ("one.example", config.read_text()),
                ("two.example", config.read_text().replace("one.example", "two.example")),
                ("two.example", "[wrong]\n"),
            )
        ):
            config.write_text(text)
            daemon.send_signal(signal.SIGHUP)
            hear("RELOADING=1")
            status = hear("READY=1")[2]
            if "wrong" in text:
                assert status.startswith("STATUS=the configuration stays as it was: ")
            else:
                assert status == ready[2]
            with fed(b"Subject: hi\n\nHello.\n"):
                assert smtpqer.main([peer.target, SENDER, ANN]) == 0  # which wakes it
            assert peer.wait_for(count + 1)
            assert peer.sessions[-1][0] == f"EHLO {name}"
        daemon.send_signal(signal.SIGTERM)
        hear("STOPPING=1")
        log = daemon.stderr.read()
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()
        manager.close()
    assert "Traceback" not in log
    assert log.count("the configuration was read anew") == 2
    assert log.count("the configuration stays as it was: ") == 1
    assert '"event": "stopped"' in log or '"event":"stopped"' in log


def test_a_daemon_needs_nothing_of_what_receives(url, peer, capsys, tmp_path):
    """The keys and the logins of smtpd may be out of its reach, and its addresses are not listened on."""
    config = tmp_path / "c.toml"
    config.write_text(
        '[tls]\ncertificate = ["none.pem"]\n[auth]\npasswords = "none"\n'
        '[[listen]]\naddress = "192.0.2.1:25"\nauth = true\n'
    )
    put(capsys, peer.target)
    daemon = subprocess.Popen([BIN / "runsmtpq", "--daemon", "-C", config], stderr=subprocess.PIPE, text=True)
    try:
        assert peer.wait_for(1)
        daemon.send_signal(signal.SIGTERM)
        log = daemon.stderr.read()
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()
    assert "none" not in log


def test_the_envelope_run_by_hand_as_in_1986(url, peer, capsys, tmp_path):
    if not url.startswith("directory:"):
        pytest.skip("only the directory spool has envelopes that can be run")
    ident = put(capsys, peer.target)
    script = tmp_path / "spool" / "queue" / f"{ident}.sh"
    done = subprocess.run(
        ["sh", script], env={"PATH": f"{BIN}:/usr/bin:/bin"}, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert recipients(peer) == [ANN]
    assert snapshot(url) == []
