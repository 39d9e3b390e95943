"""targethost as a person writes it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mether.outcome import Route
from mether.routing import target
from mether.routing.target import Target, TargetError


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
