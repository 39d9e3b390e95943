"""Which messages are meant by ids and filters, and how the queue is gone through."""

import pytest
from queues import NOW, put

from mether.programs import choice
from mether.programs.options import Program, UsageError, parse
from mether.queue.ident import new_id
from mether.queue.selection import Filter

PROGRAM = Program("test", ["x"], "x", choice.OPTIONS)


def test_a_long_queue_is_read_a_page_at_a_time(store, monkeypatch):
    ids = [put(store) for _ in range(5)]
    asked = []
    entries = store.entries
    monkeypatch.setattr(store, "entries", lambda *a: asked.append(a[1:]) or entries(*a))
    assert [entry.message.ident for entry in choice.pages(store, Filter(), 2)] == sorted(ids)
    assert [limit for _, limit in asked] == [2, 2, 2]


def test_the_first_page_is_small_so_that_it_comes_at_once(store, monkeypatch):
    ids = [put(store) for _ in range(9)]
    asked = []
    entries = store.entries
    monkeypatch.setattr(store, "entries", lambda *a: asked.append(a[2]) or entries(*a))
    monkeypatch.setattr(choice, "FIRST", 1)
    assert len(list(choice.pages(store, Filter()))) == len(ids)
    assert asked == [1, 4, 16]


@pytest.mark.parametrize("form", ["{}", "queue/{}.sh", "/var/spool/smtpq/queue/{}.sh"])
def test_an_id_in_any_writing(form):
    name = new_id(NOW, 7)
    assert choice.ident(form.format(name)) == name
    assert choice.ident(name.lower()) == name


@pytest.mark.parametrize("text", ["", "x", "0" * 12, "U" * 13, "a/b"])
def test_what_is_no_id(text):
    with pytest.raises(UsageError, match="is not a queue id"):
        choice.ident(text)


def test_filters_hold_together_and_none_is_everything():
    assert not choice.narrow(choice.filter_of(parse(PROGRAM, []), [], NOW))
    filter = choice.filter_of(parse(PROGRAM, ["--sender", "a", "--older", "2h"]), ["0" * 13], NOW)
    assert choice.narrow(filter)
    assert (filter.sender, filter.before, filter.idents) == ("a", NOW - 7200, frozenset(["0" * 13]))
    with pytest.raises(UsageError, match="--older: expected a duration"):
        choice.filter_of(parse(PROGRAM, ["--older", "3"]), [], NOW)


def test_what_is_not_queued_is_told_in_order(store):
    here, one, two = put(store), new_id(NOW, 1), new_id(NOW, 2)
    assert choice.missing(store, [two, here, one, two]) == [two, one]
    assert choice.missing(store, []) == []
