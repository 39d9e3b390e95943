"""``smtpq suspend``, ``resume`` and ``hops``: next hops by a person's names for them."""

import json
import time

import pytest
from queues import NOW, defer, put

from mether.outcome import Route
from mether.programs import smtpq_hops
from mether.programs.listing import stamp
from mether.programs.options import UsageError
from mether.programs.smtpq import main
from mether.queue.claim import Hop

ROUTE = Route("smtp", "example.net")
T0 = 1_800_000_000.0


def run(capsys, *argv, status=0):
    assert main(list(argv)) == status
    out, err = capsys.readouterr()
    assert status or not err, err
    return err if status else out


def suspended(store):
    return {str(hop.route): hop.suspended for hop in store.hops() if hop.suspended_at(time.time())}


def test_mail_for_a_suspended_next_hop_waits_until_it_is_resumed(store, capsys):
    put(store)
    put(store, "x@else.test")
    assert run(capsys, "suspend", "example.*", "--reason", "moving") == (
        "smtp:example.net: suspended until smtpq resume\n"
    )
    (claim,) = store.claim(10, time.time())
    assert claim.route.next_hop == "else.test"
    assert run(capsys, "hops") == "smtp:example.net\n    suspended: moving\n"
    assert "(next hop suspended: moving)" in run(capsys)
    assert run(capsys, "resume", "*") == "smtp:example.net: resumed\n"
    (claim,) = store.claim(10, time.time())
    assert claim.route == ROUTE
    assert run(capsys, "hops") == "no next hop is in trouble\n"


def test_a_suspension_ends_by_itself(store, capsys):
    put(store)
    out = run(capsys, "suspend", "example.net", "--for", "2h")
    assert "smtp:example.net: suspended until 20" in out and "(in 2h)" in out
    assert store.claim(10, time.time()) == []
    (record,) = map(json.loads, run(capsys, "hops", "--json").splitlines())
    assert record["next_hop"] == "example.net" and record["suspended"] == "no reason was given"
    assert record["suspended_until"] == pytest.approx(time.time() + 7200, abs=60)
    assert store.claim(10, time.time() + 7300)


def test_one_that_is_not_known_yet_is_suspended_by_its_name(store, capsys):
    out = run(capsys, "suspend", "new.test", "[192.0.2.1]:2525", "lmtp:unix:/run/x", "maildir:home")
    assert out.splitlines()[:2] == [
        "not known yet: suspended as smtp:new.test (mail for the domain new.test, by MX) until smtpq resume",
        "not known yet: suspended as smtp:[192.0.2.1]:2525 until smtpq resume",
    ]
    assert set(suspended(store)) == {
        "smtp:new.test",
        "smtp:[192.0.2.1]:2525",
        "lmtp:unix:/run/x",
        "maildir:home",
    }
    put(store, "x@new.test")
    assert store.claim(10, time.time()) == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("hub.example", "smtp:[hub.example]"),
        ("[hub.example]", "smtp:[hub.example]"),
        ("smtp:hub.example:25", "smtp:[hub.example]"),
        ("submit.example", "smtp:submit.example:587"),
        ("sub*", "smtp:submit.example:587"),
        ("unix:/run/l", "lmtp:unix:/run/l"),
        ("maildir:home.example", "maildir:home.example"),
    ],
)
def test_a_next_hop_of_the_configuration_is_known(store, capsys, tmp_path, name, known):
    config = tmp_path / "mether.toml"
    config.write_text(
        '[[route]]\ndomains = ["home.example"]\nmaildir = "/tmp/{user}/"\n'
        '[[route]]\ndomains = ["l.example"]\nlmtp = "unix:/run/l"\n'
        '[[route]]\ndomains = ["mx.example"]\nmx = true\n'
        '[[route]]\ndomains = ["s.example"]\nsmtp = "submit.example:587"\n'
        '[[route]]\ndomains = ["*"]\nsmtp = "[hub.example]"\n'
    )
    assert run(capsys, "suspend", "-C", str(config), name) == f"{known}: suspended until smtpq resume\n"
    assert set(suspended(store)) == {known}


def test_those_that_are_resumed_are_in_order(store, capsys):
    names = ["d.test", "a.test", "c.test", "b.test"]
    run(capsys, "suspend", *names)
    assert run(capsys, "resume", "*").split() == [
        word for name in sorted(names) for word in (f"smtp:{name}:", "resumed")
    ]


def test_a_name_that_is_like_none_is_told_and_the_others_are_done(store, capsys):
    put(store)
    err = run(capsys, "suspend", "*.nowhere", "example.net", status=66)
    assert err == "smtpq: no next hop is known that is like *.nowhere\n"
    assert set(suspended(store)) == {"smtp:example.net"}
    assert run(capsys, "resume", "nowhere", "example.net", status=66).endswith("like nowhere\n")
    assert suspended(store) == {}
    assert run(capsys, "hops", "nowhere", status=66).endswith("like nowhere\n")


def test_to_resume_what_is_not_suspended_is_no_error(store, capsys):
    put(store)
    put(store, "x@example.org")
    assert run(capsys, "resume", "example.net") == "smtp:example.net: was not suspended\n"
    assert run(capsys, "resume", "*") == "*: none of 2 next hops was suspended\n"
    assert run(capsys, "hops", "example.net") == "smtp:example.net\n    in order\n"


def test_who_works_the_queue_is_told(store, capsys):
    put(store)
    store.claim(1, NOW)  # it works this queue
    assert store.renew(NOW + 60, NOW)
    for argv in (["suspend", "example.net"], ["resume", "example.net"]):
        assert not store.wait(0)
        run(capsys, *argv)
        assert store.wait(5)


def test_what_does_not_answer(url, store, capsys):
    put(store)
    defer(url, failures=3)
    out = run(capsys, "hops")
    assert out.startswith(
        f"smtp:example.net\n    failed 3 times in a row, tried again {stamp(NOW + 7200)} (in "
    )
    assert out.endswith(": 451 4.2.0 mailbox busy\n")
    (record,) = map(json.loads, run(capsys, "hops", "--json", "example.net").splitlines())
    assert (record["failures"], record["last"]) == (3, "451 4.2.0 mailbox busy")
    assert record["not_before"] == pytest.approx(NOW + 7200)


@pytest.mark.parametrize(
    ("hop", "text"),
    [
        (
            Hop(ROUTE, failures=1, not_before=T0 - 1, suspended="a\nb", suspended_until=T0 + 60),
            f"smtp:example.net\n    suspended until {stamp(T0 + 60)} (in 1m): a b\n"
            "    failed 1 time in a row, tried again when mail for it is due",
        ),
        (
            Hop(Route("smtp", "b.test", "me.test"), suspended="x", suspended_until=T0),
            "smtp:b.test (EHLO me.test)\n    in order",
        ),
    ],
)
def test_a_next_hop_for_a_person(hop, text):
    assert "\n".join(smtpq_hops.lines(hop, T0)) == text


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("Example.NET", Route("smtp", "example.net")),
        ("smtp:example.net", Route("smtp", "example.net")),
        ("192.0.2.1", Route("smtp", "[192.0.2.1]")),
        ("lmtp:host:24", Route("lmtp", "host")),
        ("pipe:spam", Route("pipe", "spam")),
        ("a.test:587,[b.test]", Route("smtp", "a.test:587,[b.test]")),
        ("smtp:a:26*3,b:26*1", Route("smtp", "a:26*3,b:26*1")),
    ],
)
def test_the_next_hop_of_a_name(name, route):
    assert smtpq_hops.route_of(name) == route


@pytest.mark.parametrize("name", ["", "a b", "host:0", "http://x"])
def test_what_names_no_next_hop(name):
    with pytest.raises(UsageError):
        smtpq_hops.route_of(name)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["suspend", "x", "--for", "0s"], "--for: "),
        (["suspend", "x", "--until", "2020-01-01"], "--until: '2020-01-01' is over already"),
        (["suspend", "x", "--until", "soon"], "--until: 'soon' is not a time such as "),
        (["suspend", "http://x"], "'http://x' is a URL"),
    ],
)
def test_a_wrong_argument(store, argv, text, capsys):
    assert text in run(capsys, *argv, status=64)
    assert suspended(store) == {}
