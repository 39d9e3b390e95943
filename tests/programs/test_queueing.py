"""Committing one message: all of it or nothing, and no file left behind."""

import time

import pytest

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Route
from mether.programs import queueing
from mether.queue import ident
from mether.queue.content import SMALL
from mether.queue.store import Filter, StoreError
from mether.setup.locate import Basics

BASICS = Basics(None, "mx.example.org", "postmaster@mx.example.org", "memory:", expire=1000.0)
LARGE = b"x" * SMALL + b"\r\n"


def submit(store, content=b"A: b\r\n\r\n", **more):
    def read(spill):
        if len(content) <= SMALL:
            return content
        writer = spill()
        writer.write(content)
        return writer

    envelope = Envelope(None, [Recipient(parse("a@b.test")), Recipient(parse("c@d.test"))])
    routes = [Route("smtp", "b.test"), Route("smtp", "d.test")]
    return queueing.submit(store, BASICS, envelope, routes, read, pinned=True, **more)


@pytest.mark.parametrize(("ages", "after"), [((), None), ((60.0, 90.0), 60), ((1000.0,), None)])
def test_its_sender_is_told_when_it_waits_long(store, ages, after):
    """DSN-6: as of what a listener takes."""
    basics = Basics(None, "mx.example.org", "postmaster@mx.example.org", "memory:", 1000.0, ages)
    envelope = Envelope(parse("me@b.test"), [Recipient(parse("a@b.test"))])
    queueing.submit(
        store, basics, envelope, [Route("smtp", "b.test")], lambda spill: b"A: b\r\n", pinned=True
    )
    (entry,) = store.entries(Filter())
    assert entry.message.warn_at == (None if after is None else entry.message.arrival.at + after)


def files(tmp_path):
    return [each for each in tmp_path.rglob("*") if each.is_file() and each.stat().st_size == len(LARGE)]


@pytest.mark.parametrize("content", [b"A: b\r\n\r\n", LARGE])
def test_a_message_is_queued(store, content):
    before = time.time()
    answer = submit(store, content)
    (entry,) = store.entries(Filter())
    message = entry.message
    assert message.ident == answer.ident and not answer.known
    assert before - 1 <= message.arrival.at <= time.time()
    assert message.expires == pytest.approx(message.arrival.at + 1000)
    assert message.trace.startswith(b"Received: ") and b"by mx.example.org" in message.trace
    assert message.size == len(message.trace) + len(content)
    assert [row.route.next_hop for row in entry.rows] == ["b.test", "d.test"]
    assert store.content(answer.ident).read() == content


def test_ids_are_good_and_differ():
    now = time.time()
    ids = {queueing.new_id(now + number / 1000) for number in range(50)}
    assert len(ids) == 50
    for each in ids:
        ident.decode(each)


def test_a_known_key_leaves_no_file(store, tmp_path):
    first = submit(store, LARGE, key="k")
    second = submit(store, LARGE, key="k")
    assert second.ident == first.ident and second.known
    assert len(files(tmp_path)) == 1
    assert len(store.entries(Filter())) == 1


@pytest.mark.parametrize("content", [b"A: b\r\n\r\n", LARGE])
def test_a_commit_that_fails_leaves_nothing(store, tmp_path, monkeypatch, content):
    def refuse(*args, **named):
        raise StoreError("no")

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", refuse)
        with pytest.raises(StoreError):
            submit(store, content)
    assert store.entries(Filter()) == [] and files(tmp_path) == []


def test_a_read_that_fails_leaves_nothing(store):
    def read(spill):
        raise OSError(5, "Input/output error")

    envelope = Envelope(None, [Recipient(parse("a@b.test"))])
    with pytest.raises(OSError, match="Input/output"):
        queueing.submit(store, BASICS, envelope, [Route("smtp", "b.test")], read, pinned=True)
    assert store.entries(Filter()) == []
