"""``smtpq hold`` and its kin: many at once, and those that are being tried."""

import pytest
from queues import NOW, put

from mether.programs.smtpq import main
from mether.queue.selection import Filter


def run(capsys, *argv):
    assert main(list(argv)) == 0
    return capsys.readouterr().out


def queued(store):
    return sum(1 for _ in store.entries(Filter()))


@pytest.mark.parametrize(("verb", "done"), [("hold", "held"), ("remove", "removed")])
def test_those_that_are_being_tried_are_marked_and_counted(store, capsys, verb, done):
    for number in range(3):
        put(store, f"{number}@{number}.test")
    claims = store.claim(2, NOW)
    assert (
        run(capsys, verb, "--all") == f"3 messages {done}, 2 of them as soon as the present attempt can end\n"
    )
    assert store.marked() == {claim.token: verb for claim in claims}
    store.release(claims)
    if verb == "remove":
        assert queued(store) == 0
    else:
        assert [entry.status for entry in store.entries(Filter())] == ["held"] * 3


@pytest.mark.parametrize("verb", ["hold", "release", "retry", "remove"])
def test_every_change_tells_who_works_the_queue(store, capsys, verb):
    put(store)
    put(store, "x@else.test")
    if verb == "release":
        store.change(Filter(), "hold", now=NOW)
    store.claim(1, NOW)  # it works this queue
    assert store.renew(NOW + 60, NOW)
    assert not store.wait(0)
    run(capsys, verb, "--all")
    assert store.wait(5)


def test_a_change_of_nothing_tells_nobody(store, capsys):
    put(store)
    store.claim(1, NOW)
    assert store.renew(NOW + 60, NOW)
    assert run(capsys, "hold", "--sender", "nobody@*") == "0 messages held\n"
    assert not store.wait(0)


def test_many_are_changed_at_once(store, capsys):
    for number in range(60):
        put(store, f"{number}@example.net", sender=f"{number % 2}@b.test")
    assert run(capsys, "hold", "--sender", "1@*", "--recipient", "*@example.net") == "30 messages held\n"
    assert run(capsys, "remove", "--status", "held", "-n") == "30 messages would be removed\n"
    assert run(capsys, "remove", "--status", "held") == "30 messages removed\n"
    assert queued(store) == 30


def test_what_a_change_does_nothing_to_is_told_and_keeps_its_reason(store, capsys):
    held, _ = put(store), put(store)
    assert run(capsys, "hold", held, "--reason", "it may have been delivered") == "1 message held\n"
    assert run(capsys, "hold", held, "--reason", "x") == "0 messages held; 1 was held already\n"
    assert run(capsys, "retry", "--all", "-n") == "1 message would be made due; 1 is held, and stays so\n"
    assert run(capsys, "retry", "--all") == "1 message made due; 1 is held, and stays so\n"
    assert run(capsys, "hold", "--all") == "1 message held; 1 was held already\n"
    assert run(capsys, "hold", "--all", "-n") == "0 messages would be held; 2 were held already\n"
    reasons = [entry.message.hold for entry in store.entries(Filter())]
    assert reasons == ["it may have been delivered", "held by smtpq"]
    assert run(capsys, "release", held) == "1 message released\n"
    assert run(capsys, "release", held) == "0 messages released; 1 is not held\n"


def test_what_is_to_be_removed_already_is_told(store, capsys):
    for number in range(3):
        put(store, f"{number}@{number}.test")
    store.claim(2, NOW)
    assert run(capsys, "remove", "--all").startswith("3 messages removed, 2 of them as soon as ")
    assert run(capsys, "remove", "--all") == "0 messages removed; 2 were to be removed already\n"
    listed = run(capsys, "list")
    assert listed.count("(to be removed, as soon as the present attempt can end)") == 2


def test_a_listing_tells_what_is_held_while_it_is_tried(store, capsys):
    ident = put(store)
    store.claim(1, NOW)
    assert run(capsys, "list").splitlines()[1].startswith(f"{ident}* ")
    run(capsys, "hold", "--all", "--reason", "wait")
    lines = run(capsys, "list").splitlines()
    assert lines[1].startswith(f"{ident}!*")
    assert lines[2].strip() == "(held: wait)"


@pytest.mark.parametrize("words", [["hold", "--all"], ["suspend", "example.net"]])
def test_a_reason_is_bounded(store, url, capsys, words):
    put(store)
    assert main([words[0], "--spool", url, *words[1:], "--reason", "x" * 256]) == 64
    assert "--reason has 256 characters, and at most 255 are kept" in capsys.readouterr().err
    assert main([words[0], "--spool", url, *words[1:], "--reason", "x" * 255]) == 0
