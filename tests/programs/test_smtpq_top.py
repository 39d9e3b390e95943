"""``smtpq top``: it looks seldom at what is large, and leaves the terminal as it was."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from queues import put

from mether.programs.smtpq import main
from mether.programs.smtpq_top import SHARE, View
from mether.queue.figures import Summary, Totals
from mether.queue.store import StoreError


class Queue:
    """A store in which counting takes `takes` seconds of `time`."""

    def __init__(self, takes=0.0):
        self.takes = takes
        self.time = 0.0
        self.counted = 0
        self.queued = 0
        self.error = None

    def totals(self):
        if self.error:
            raise StoreError(self.error)
        return Totals(queued=self.queued)

    def summary(self):
        self.counted += 1
        self.time += self.takes
        return Summary(deferred=self.queued)

    def shape(self, filter, edges):
        return []

    def hops(self):
        return []


def view(queue):
    return View(queue, lambda: 1_800_000_000 + queue.time, lambda: queue.time)


def test_what_takes_long_to_count_is_counted_seldom():
    queue = Queue(takes=1.5)
    top = view(queue)
    for _ in range(100):
        top.look()
        queue.time += 1
    assert queue.counted == pytest.approx(100 / (SHARE * 1.5), abs=1)
    quick = Queue()
    top = view(quick)
    for _ in range(100):
        top.look()
        quick.time += 1
    assert quick.counted == 100


def test_rates_are_of_the_last_interval():
    queue = Queue()
    top = view(queue)
    top.look()
    assert "being measured" in "\n".join(top.frame(80, 24))
    queue.time, queue.queued = 2.0, 30
    top.look()
    assert "queued 15.0" in "\n".join(top.frame(80, 24))


def test_keys():
    queue = Queue()
    top = view(queue)
    assert top.press("p") and top.paused
    top.look()
    assert queue.counted == 0
    assert top.press("p") and not top.paused
    assert top.press("f") and top.sort == "failures"
    assert top.press("") and top.press("x") and top.sort == "failures"
    assert not top.press("q")


def test_a_queue_that_cannot_be_read_for_a_while_is_said_to_be_so():
    queue = Queue()
    top = view(queue)
    top.look()
    queue.error = "the queue is locked"
    top.look()
    assert "trouble     the queue is locked" in top.frame(80, 24)
    queue.error = None
    top.look()
    assert "locked" not in "\n".join(top.frame(80, 24))


def test_one_frame_where_there_is_no_terminal(store, capsys):
    put(store)
    put(store, "x@else.test")
    for argv in (["top", "--interval", "100ms"], ["top", "--once", "--interval", "100ms", "--sort", "age"]):
        assert main(argv) == 0
        out, err = capsys.readouterr()
        assert "messages    2   fresh 2   deferred 0" in out and "smtp:else.test" in out
        assert "\x1b" not in out and "q quit" not in out and err == ""


class Terminal:
    """``smtpq top`` on a terminal of its own."""

    def __init__(self, url, size=(24, 80), term="xterm"):
        self.ours, self.its = pty.openpty()
        self.resize(size)
        self.before = termios.tcgetattr(self.its)
        self.seen = b""
        # The size is this terminal's, and not what readline has told the environment of another one.
        others = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mether.programs.smtpq", "top", "--interval", "30s", "--spool", url],
            stdin=self.its,
            stdout=self.its,
            stderr=subprocess.PIPE,
            env={**others, "TERM": term, "LC_ALL": "C.UTF-8"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self.ours)
        os.close(self.its)

    def resize(self, size):
        fcntl.ioctl(self.its, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def expect(self, text):
        """Read until the text is drawn."""
        end = time.monotonic() + 30
        while text not in self.seen:
            assert select.select([self.ours], [], [], end - time.monotonic())[0], self.seen
            self.seen += os.read(self.ours, 65536)

    def end(self):
        """The exit status, once all that was drawn is read."""
        while self.process.poll() is None:
            if select.select([self.ours], [], [], 0.05)[0]:
                self.seen += os.read(self.ours, 65536)
        while select.select([self.ours], [], [], 0)[0]:
            self.seen += os.read(self.ours, 65536)
        assert termios.tcgetattr(self.its) == self.before
        return self.process.returncode


def test_on_a_terminal_until_q(store, url):
    put(store)
    with Terminal(url) as terminal:
        terminal.expect(b"smtp:example.net")
        os.write(terminal.ours, b"p")
        terminal.expect(b"PAUSED")
        os.write(terminal.ours, b"q")
        assert terminal.end() == 0
        assert terminal.seen.rindex(b"\x1b[?1049l") > terminal.seen.rindex(b"PAUSED")
        assert terminal.process.stderr.read() == b""


def test_a_change_of_size_is_drawn_at_once(store, url):
    put(store)
    with Terminal(url, size=(24, 60)) as terminal:
        terminal.expect(b"smtp:example.net")
        assert b"q quit" not in terminal.seen
        terminal.resize((24, 80))
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.expect(b"q quit")
        os.write(terminal.ours, b"q")
        assert terminal.end() == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, -15), (signal.SIGHUP, -1), (signal.SIGINT, 130)]
)
def test_a_signal_gives_the_terminal_back(store, url, number, status):
    with Terminal(url) as terminal:
        terminal.expect(b"nothing waits")
        terminal.process.send_signal(number)
        assert terminal.end() == status
        assert b"\x1b[?1049l" in terminal.seen
        assert terminal.process.stderr.read() == b""


def test_a_terminal_that_nobody_knows(store, url):
    with Terminal(url, term="nonsense") as terminal:
        assert terminal.end() == 69
        error = terminal.process.stderr.read().decode()
        assert re.fullmatch(r"smtpq: this terminal \(TERM=nonsense\) cannot be drawn on: .*--once.*\n", error)
