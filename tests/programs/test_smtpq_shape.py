"""``smtpq shape``: the queue by next hop and age."""

import json

import pytest
from queues import put

from mether.outcome import Route
from mether.programs.smtpq import main
from mether.programs.smtpq_shape import COLUMNS, table
from mether.queue.figures import Shape


def shape(name, **counts):
    found = Shape(Route("smtp", name), [0] * len(COLUMNS))
    for column, count in counts.items():
        found.counts[COLUMNS.index(column[1:].replace("plus", "+"))] = count
    return found


def test_the_table():
    found = [shape("big.test", _5=12345, _1280plus=1), shape("b.test", _10=2), shape("c.test", _10=1)]
    assert list(table(found, 1)) == [
        "                  T     5 10 20 40 80 160 320 640 1280 1280+",
        "        TOTAL 12349 12345  3  0  0  0   0   0   0    0     1",
        "smtp:big.test 12346 12345  0  0  0  0   0   0   0    0     1",
        "   (2 others)     3     0  3  0  0  0   0   0   0    0     0",
    ]
    assert len(list(table(found, 3))) == 5
    assert list(table([], 3)) == ["no recipient waits"]


@pytest.fixture
def queue(store):
    put(store, "a@one.test", "b@one.test", age=60)
    put(store, "c@two.test", age=700)
    put(store, "d@one.test", "e@two.test", age=100_000)
    put(store, "f@three.test", sender="x@y.test", age=60)
    return store


def rows(text):
    return {line.split()[0]: [int(word) for word in line.split()[1:]] for line in text.splitlines()[1:]}


def test_recipients_are_counted_by_next_hop_and_age(queue, capsys):
    assert main(["shape"]) == 0
    assert rows(capsys.readouterr().out) == {
        "TOTAL": [6, 3, 0, 1, 0, 0, 0, 0, 0, 0, 2],
        "smtp:one.test": [3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        "smtp:two.test": [2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1],
        "smtp:three.test": [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    }


def test_only_what_the_filters_choose(queue, capsys):
    assert main(["shape", "--sender", "x@*"]) == 0
    assert list(rows(capsys.readouterr().out)) == ["TOTAL", "smtp:three.test"]
    assert main(["shape", "--older", "1d"]) == 0
    assert rows(capsys.readouterr().out)["TOTAL"][0] == 2
    assert main(["shape", "--sender", "nobody"]) == 0
    assert capsys.readouterr().out == "no recipient waits\n"


def test_no_more_next_hops_than_asked(queue, capsys):
    assert main(["shape", "--top", "1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "TOTAL",
        "smtp:one.test",
        "(2",
    ]
    assert main(["shape", "--top", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_in_json(queue, capsys):
    assert main(["shape", "--json", "--top", "2"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["next_hop"], first["recipients"], first["ages"]["5"]) == ("one.test", 3, 2)
    assert (second["next_hop"], second["ages"]["1280+"]) == ("two.test", 1)
