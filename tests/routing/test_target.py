"""targethost as a person writes it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mether.outcome import Route
from mether.routing import target
from mether.routing.target import Target, TargetError, Targets


@pytest.mark.parametrize(
    ("text", "expected", "canonical"),
    [
        ("192.0.2.1", Target("direct", "192.0.2.1"), "[192.0.2.1]"),
        ("192.0.2.1:2525", Target("direct", "192.0.2.1", 2525), "[192.0.2.1]:2525"),
        ("[192.0.2.1]:2525", Target("direct", "192.0.2.1", 2525), "[192.0.2.1]:2525"),
        ("2001:DB8::1", Target("direct", "2001:db8::1"), "[2001:db8::1]"),
        ("[2001:db8::1]", Target("direct", "2001:db8::1"), "[2001:db8::1]"),
        ("[IPv6:2001:db8::1]:26", Target("direct", "2001:db8::1", 26), "[2001:db8::1]:26"),
        ("[Mail.Example.org]", Target("direct", "mail.example.org"), "[mail.example.org]"),
        ("[mail.example.org]:26", Target("direct", "mail.example.org", 26), "mail.example.org:26"),
        ("mail.example.org:25", Target("direct", "mail.example.org"), "[mail.example.org]"),
        ("mail.example.org:2525", Target("direct", "mail.example.org", 2525), "mail.example.org:2525"),
        ("mailhub", Target("direct", "mailhub"), "mailhub"),
        ("mail_hub:2525", Target("direct", "mail_hub", 2525), "mail_hub:2525"),
        ("localhost:2525", Target("direct", "localhost", 2525), "localhost:2525"),
        ("Example.ORG", Target("mx", "example.org"), "example.org"),
        ("example.org.", Target("mx", "example.org"), "example.org"),
        ("bücher.example", Target("mx", "xn--bcher-kva.example"), "xn--bcher-kva.example"),
        ("unix:/run/lmtp", Target("unix", "/run/lmtp", 0, lmtp=True), "unix:/run/lmtp"),
        ("lmtp:unix:/run/lmtp", Target("unix", "/run/lmtp", 0, lmtp=True), "unix:/run/lmtp"),
        (
            "lmtp:mail.example.org:24",
            Target("direct", "mail.example.org", 24, lmtp=True),
            "lmtp:mail.example.org",
        ),
        ("LMTP:dovecot", Target("direct", "dovecot", 24, lmtp=True), "lmtp:dovecot"),
        ("lmtp:[::1]:2424", Target("direct", "::1", 2424, lmtp=True), "lmtp:[::1]:2424"),
    ],
)
def test_forms(text: str, expected: Target, canonical: str) -> None:
    found = target.parse(text)
    assert found == expected
    assert str(found) == canonical
    assert target.parse(canonical) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "host:²",
        "[host",
        "[host]x",
        "[]",
        "[[::1]]",
        "[a]:1:2",
        "1.2.3",
        "999.1.1.1",
        "-x.example",
        "a..b",
        "user@example.org",
        "unix:",
        "unix:run/lmtp",
        "unix:/" + "x" * 200,
        "lmtp:",
        "x" * 64,
        "a\x00b",
        "a\nb.example",
    ],
)
def test_what_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(TargetError) as caught:
        target.parse(text)
    assert len(str(caught.value)) > 20
    assert "\n" not in str(caught.value)


@given(st.text("abc.:[]/-_019xlmtpunixIPv6é", max_size=30) | st.text(max_size=30))
@example("[ipv6:::1]")
def test_what_is_taken_is_written_back_as_the_same(text: str) -> None:
    try:
        found = target.parse(text)
    except TargetError:
        return
    assert target.parse(str(found)) == found
    assert str(target.parse(str(found))) == str(found)
    assert target.from_route(found.route()) == found


def test_the_route_under_which_it_is_scheduled() -> None:
    assert target.parse("lmtp:h:99").route("me.example") == Route("lmtp", "h:99", "me.example")
    assert target.parse("unix:/s").route() == Route("lmtp", "unix:/s")
    assert target.parse("EXAMPLE.org").route() == Route("smtp", "example.org")


def test_a_domain_goes_by_mx_unless_the_hosts_file_has_it() -> None:
    """1986: a name without a dot or in the hosts file is connected to directly."""
    assert target.needs_mx(target.parse("example.org"), lambda name: False)
    assert not target.needs_mx(target.parse("example.org"), lambda name: name == "example.org")
    assert not target.needs_mx(target.parse("mailhub"), lambda name: False)
    assert not target.needs_mx(target.parse("[example.org]"), lambda name: False)
    assert not target.needs_mx(target.parse("lmtp:example.org"), lambda name: False)


def test_whether_a_dns_is_needed_at_all() -> None:
    assert target.parse("[::1]").is_ip
    assert not target.parse("unix:/x").is_ip
    assert not target.parse("[localhost]").is_ip


def test_it_is_cheap_to_import() -> None:
    """The one-shot talker pays for every module."""
    code = (
        "import sys; before = set(sys.modules); import mether.routing.target; "
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('mether')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {"__future__"}


@pytest.mark.parametrize(
    ("text", "canonical", "next_hop"),
    [
        ("a.test:587,b.test:587", "a.test:587,b.test:587", "a.test:587,b.test:587"),
        ("[A.test]:587,[b.test]", "a.test:587,[b.test]", "a.test:587,[b.test]"),
        ("a*3,b:26*1", "a*3,b:26*1", "a*3,b:26*1"),
        ("[::1]:26*3,192.0.2.1*1", "[::1]:26*3,[192.0.2.1]*1", "[::1]:26*3,[192.0.2.1]*1"),
        ("lmtp:a,b:99", "lmtp:a,b:99", "a,b:99"),
        ("lmtp:a,lmtp:b", "lmtp:a,b", "a,b"),
        ("unix:/run/a,unix:/run/b", "unix:/run/a,unix:/run/b", "unix:/run/a,unix:/run/b"),
        ("unix:/run/a,lmtp:b", "unix:/run/a,b", "unix:/run/a,b"),
        ("lmtp:a,unix:/run/b", "lmtp:a,unix:/run/b", "a,unix:/run/b"),
        (
            "example.org,backup.example.net",
            "example.org,backup.example.net",
            "example.org,backup.example.net",
        ),
    ],
)
def test_lists(text: str, canonical: str, next_hop: str) -> None:
    found = target.parse_list(text)
    assert isinstance(found, Targets)
    assert target.parse_list(str(found)) == found
    assert target.from_route(found.route("me.example", "name")) == found
    assert str(found) == canonical
    assert found.route().next_hop == next_hop


def test_a_single_target_is_no_list() -> None:
    assert target.parse_list("a.test:587") == Target("direct", "a.test", 587)
    assert target.from_route(Route("smtp", "a.test")) == Target("mx", "a.test")
    assert target.parse("a.test").targets == (target.parse("a.test"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,", "empty"),
        (",a", "empty"),
        ("a,a:25", "twice"),
        ("a*3,b", "a weight for each"),
        ("a*0,b*1", "from 1 to 1000"),
        ("a*1001,b*1", "from 1 to 1000"),
        ("a*x,b*1", "after the *"),
        ("a*,b", "after the *"),
        ("a,unix:/run/x", "all SMTP or all LMTP"),
        ("a,lmtp:b", "all SMTP or all LMTP"),
        ("a, b", "no space"),
        (",".join(f"h{number}" for number in range(33)), "2 to 32"),
    ],
)
def test_what_is_no_list(text: str, words: str) -> None:
    with pytest.raises(TargetError) as caught:
        target.parse_list(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text("abc.:[]/-_019xlmtpunix,*", max_size=40))
def test_a_list_that_is_taken_is_written_back_as_the_same(text: str) -> None:
    try:
        found = target.parse_list(text)
    except TargetError:
        return
    assert target.parse_list(str(found)) == found
    assert target.from_route(found.route()) == found


def test_a_list_is_tried_in_its_order() -> None:
    targets = target.parse_list("a,b,c")
    assert [one.host for one in targets.order(lambda: 0.99)] == ["a", "b", "c"]


def test_weights_say_how_often_one_comes_first() -> None:
    targets = target.parse_list("a*3,b*1")
    firsts = [targets.order(lambda point=point: point / 100)[0].host for point in range(100)]  # type: ignore[misc]
    assert firsts.count("a") == 75
    assert {one.host for one in targets.order(lambda: 0.9999999)} == {"a", "b"}


def test_every_one_of_a_weighted_list_is_tried() -> None:
    rest = iter((0.99, 0.0, 0.5))
    assert [one.host for one in target.parse_list("a*1,b*5,c*1").order(lambda: next(rest))] == ["c", "a", "b"]
