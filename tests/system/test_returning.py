"""The programs that return mail, as processes: killed, interrupted, unread, and beside the service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from peers import until
from queues import put

from mether.queue.open import open_store
from mether.queue.store import Filter

BIN = Path(sys.executable).parent
MANY = 700
BATCH = 100

CONFIG = """
[service]
hostname = "home.test"
postmaster = "pm@home.test"
[queue]
spool = "{url}"
[[route]]
domains = ["*"]
smtp = "127.0.0.1:1"
"""


@pytest.fixture(params=["sqlite", "directory"])
def url(request, tmp_path):
    return f"{request.param}:{tmp_path / 'spool'}"


@pytest.fixture
def config(url, tmp_path):
    path = tmp_path / "mether.toml"
    path.write_text(CONFIG.format(url=url))
    return str(path)


@pytest.fixture
def idents(url):
    """The messages in the queue."""
    store = open_store(url, now=0.0)
    found = [put(store, f"bob@{number % 7}.test", age=60.0) for number in range(MANY)]
    store.close()
    return found


def start(program, config, *arguments):
    return subprocess.Popen(
        [BIN / program, "-C", config, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rest(process):
    """What it says from here to its end on stdout, as lines, and all of stderr."""
    with process:
        return process.stdout.read().splitlines(keepends=True), process.stderr.read()


def queued(url):
    """The messages that are left, and the reports, as entries by their ids."""
    store = open_store(url, now=0.0, create=False)
    store.runs = False
    entries, after = [], ""
    while page := store.entries(Filter(), after, 1000):
        entries += page
        after = page[-1].message.ident
    store.close()
    left = {one.message.ident: one for one in entries if one.message.envelope.reverse_path is not None}
    return left, {one.message.ident: one for one in entries if one.message.ident not in left}


def told(lines):
    """Which messages were printed, each with its report."""
    return {line.split()[0]: line.split()[-1] for line in lines if line.endswith("\n")}


def test_kill_in_the_middle_loses_nothing_and_returns_nothing_twice(url, config, idents):
    """Never a removed recipient without its report, and never two; saying it again finishes it."""
    printed: dict[str, str] = {}
    for kill in range(3):
        process = start("returnsmtpmail", config, "--sender", "ann@*")
        lines = [process.stdout.readline()]
        lines += [process.stdout.readline() for _ in range(kill * 37)]
        process.kill()  # a batch is done, and the next under way
        lines += rest(process)[0]
        now = told(lines)
        assert not set(now) & set(printed)
        printed |= now
        left, reports = queued(url)
        assert len(left) + len(reports) == MANY
        assert not set(left) & set(printed)
        assert set(printed.values()) <= set(reports)
        # Nothing is suspected of having been delivered: nobody tried to.
        assert not [row for one in left.values() for row in one.rows if row.suspect or row.attempts]
    assert left
    process = start("returnsmtpmail", config, "--sender", "ann@*")
    lines, err = rest(process)
    assert (process.returncode, err) == (0, "")
    assert set(told(lines)) == set(left)
    left, reports = queued(url)
    assert left == {}
    assert len(reports) == MANY


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_leaves_no_doubt(number, status, url, config, idents):
    process = start("cleansmtpq", config, "-d", "0")
    first = process.stdout.readline()
    process.send_signal(number)
    lines, err = rest(process)
    printed = told([first, *lines])
    assert process.returncode == status, err
    assert len(printed) % BATCH == 0
    assert err == f"cleansmtpq: interrupted; {len(printed)} returned, and the rest is as it was\n"
    left, reports = queued(url)
    assert set(idents) - set(left) == set(printed)
    assert set(printed.values()) == set(reports)


def test_a_reader_that_goes_away_ends_it(url, config, idents):
    process = start("returnsmtpmail", config, "--all")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 141
    assert process.stderr.read() == ""
    process.stderr.close()
    left, reports = queued(url)
    assert left
    assert len(left) + len(reports) == MANY
    assert not [row for one in left.values() for row in one.rows if row.owner is not None]


def test_two_at_once_return_each_message_once(tmp_path, mether):
    url, path = f"sqlite:{tmp_path / 'spool'}", tmp_path / "mether.toml"
    path.write_text(CONFIG.format(url=url))
    store = open_store(url, now=0.0)
    found = [put(store, age=60.0) for _ in range(MANY)]
    store.close()
    both = [start("returnsmtpmail", str(path), "--sender", "ann@*") for _ in range(2)]
    outs = [one.communicate()[0] for one in both]
    assert all(one.returncode in (0, 75) for one in both)
    count = Counter(line.split()[0] for out in outs for line in out.splitlines())
    assert max(count.values()) == 1
    left, reports = queued(url)
    assert len(left) + len(reports) == len(found)
    assert set(count) == set(found) - set(left)


BESIDE = """
[service]
hostname = "mx.example.test"
postmaster = "pm@example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
[[route]]
domains = ["example.org"]
smtp = "127.0.0.1:{sink}"
[[route]]
domains = ["*"]
smtp = "127.0.0.1:1"
"""


def test_beside_the_service_which_sends_the_reports(smtpd, smtp_sink, mether):
    """It is woken, and what it tries itself it keeps."""
    sink = smtp_sink()
    daemon = smtpd(BESIDE.format(sink=sink.port))
    spool = f"sqlite:{Path(daemon.config).parent / 'spool'}"
    store = open_store(spool, now=0.0)
    store.runs = False
    found = [put(store, age=60.0) for _ in range(5)]
    store.close()
    done = mether("returnsmtpmail", "-C", str(daemon.config), "--recipient", "bob@*", "--reason", "Schluß")
    while done.returncode == 75:  # one of them was being tried
        done = mether(
            "returnsmtpmail", "-C", str(daemon.config), "--recipient", "bob@*", "--reason", "Schluß"
        )
    assert (done.returncode, done.stderr) == (0, b"")
    until(lambda: len(sink.messages()) == len(found))
    texts = list(sink.messages())
    for ident in found:
        assert sum(ident in text for text in texts) == 1
    left = mether("smtpq", "-C", str(daemon.config), "--json").stdout.splitlines()
    assert not {json.loads(line)["queue_id"] for line in left} & set(found)
