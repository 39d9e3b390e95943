"""kill -9 of smtpd under load, repeated: what was answered 250 is there afterwards.

Several connections send pipelined messages, each with a name of its own, to a Maildir; the service is killed
in the middle of it and started again on the same spool, some times over.  At the end it works until its queue
is empty.  Every message that got its 250 must be in the Maildir; one that is there twice must have been in
flight at the kill it was sent before: the log of that run does not say that it was `removed`.

METHER_KILLS=20 makes it many times more than the two of the short form.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path
from queue import SimpleQueue

import pytest
from daemon import Client, Daemon

from mether.queue.open import open_store
from mether.queue.store import Filter

KILLS = int(os.environ.get("METHER_KILLS", "2"))
SENDERS = 4
GROUP = 5
"""Messages that a connection sends without waiting for each other's replies."""

BEFORE_KILL = 60
"""Answers after which the service is killed."""

NAME = re.compile(rb"^X-Name: (\S+)$", re.M)


class Sender(threading.Thread):
    """One connection: sends until it is lost, and tells of each 250 in `answered`."""

    def __init__(self, number: str, port: int, answered: SimpleQueue[tuple[str, str] | None]) -> None:
        super().__init__()
        self.number = number
        self.answered = answered
        self.client = Client(port)
        self.client.say("EHLO client.example")

    def run(self) -> None:
        try:
            count = 0
            while self._group([f"{self.number}-{count + n}" for n in range(GROUP)]):
                count += GROUP
        except OSError:
            pass  # killed
        finally:
            self.client.close()
            self.answered.put(None)

    def _group(self, names: list[str]) -> bool:
        """Send messages, DATA of the next in one write with the content before it; False when it is over."""
        client = self.client
        begin = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
        client.socket.sendall(begin)
        for place, name in enumerate(names):
            for expected in ("250", "250", "354"):
                if not client.reply().startswith(expected):
                    return False
            # Now and then one that is too large for memory.
            body = "x" * 70 + "\r\n"
            content = f"X-Name: {name}\r\n\r\n{body * (1200 if name.endswith('7') else 10)}.\r\n".encode()
            client.socket.sendall(content + (begin if place + 1 < len(names) else b""))
            answer = client.reply()
            if not answer.startswith("250 2.0.0 queued as "):
                return False
            self.answered.put((name, answer.rpartition(" ")[2]))
        return True


def settled(lines: list[str]) -> set[str]:
    """The ids that the log says are done with."""
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return {event["queue_id"] for event in events if event["event"] == "removed"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("spool", ["sqlite:spool", "directory:spool"])
def test_nothing_that_was_answered_is_lost(tmp_path: Path, spool: str) -> None:
    """DAT-5, QUE-1, QUE-5"""
    answered: dict[str, str] = {}
    done_before_kill: set[str] = set()  # by the process that took them, so that no other ever had them
    daemon = Daemon(tmp_path, spool)
    try:
        for kill in range(KILLS):
            if kill:
                daemon.start()
            mine: set[str] = set()
            news: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
            senders = [Sender(f"{kill}.{number}", daemon.port, news) for number in range(SENDERS)]
            for sender in senders:
                sender.start()
            heard, ended = 0, 0
            while ended < SENDERS:
                told = news.get()
                if told is None:
                    ended += 1
                    continue
                answered[told[0]] = told[1]
                mine.add(told[1])
                heard += 1
                if heard == BEFORE_KILL:
                    daemon.process.send_signal(signal.SIGKILL)
            for sender in senders:
                sender.join()
            assert daemon.ended() == -signal.SIGKILL
            assert heard >= BEFORE_KILL
            done_before_kill |= settled(daemon.lines) & mine
        daemon.start()
        store = open_store(f"{spool.partition(':')[0]}:{tmp_path / 'spool'}", now=0.0, create=False)
        try:
            while store.entries(Filter(), limit=1):
                daemon.wait_for("removed")
            assert list(store.check()) == []
        finally:
            store.close()
        assert daemon.stop() == 0
    finally:
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)

    delivered: Counter[str] = Counter()
    for message in daemon.mailbox("bob"):
        found = NAME.search(message)
        assert found, "half a message was delivered"
        delivered[found[1].decode()] += 1
        assert message.endswith(b"x" * 70 + b"\n")
    assert set(answered) - set(delivered) == set(), "answered 250 and lost"
    twice = {name for name, count in delivered.items() if count > 1}
    assert not {name for name in twice if answered.get(name) in done_before_kill}, "done with, and done again"
    assert all(count <= 1 + KILLS for count in delivered.values())
