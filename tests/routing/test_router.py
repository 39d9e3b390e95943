"""Which rule takes mail, and that no address can ask for more than its domain gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import Address, parse
from mether.outcome import Route
from mether.routing import router as router_module
from mether.routing import target
from mether.routing.request import Request
from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.routing.source import TableError
from mether.routing.srs import FORGED
from mether.routing.srs_file import SrsFile

BOB = Request(parse("bob@example.test"))
MAILDIR = Rule(["example.test", "bücher.example"], "maildir", "/var/mail/{user}", "home")
LISTS = Rule([".lists.example"], "pipe", ("list", "{recipient}"), "lists")
LMTP = Rule(["corp.example"], "lmtp", target.parse("unix:/run/lmtp"), "corp")
INNER = Rule(["inner.example", ".inner.example"], "smtp", target.parse("10.0.0.1:2525"), "inner")
ROUTER = Router([MAILDIR, LISTS, LMTP, INNER], "mx.example.net")
SMART = Router(
    [*ROUTER.rules, Rule(["*"], "smtp", target.parse("[relay.isp.example]:587"))], "mx.example.net"
)


@pytest.mark.parametrize(
    ("address", "route", "local"),
    [
        ("bob@example.test", Route("maildir", "home"), True),
        ("bob@EXAMPLE.Test", Route("maildir", "home"), True),
        ("bob@xn--bcher-kva.example", Route("maildir", "home"), True),
        ("bob@bücher.example", Route("maildir", "home"), True),
        ("all@dev.lists.example", Route("pipe", "lists"), True),
        ("all@a.b.lists.example", Route("pipe", "lists"), True),
        ("all@lists.example", Route("smtp", "lists.example"), False),
        ("x@corp.example", Route("lmtp", "unix:/run/lmtp"), True),
        ("x@sub.corp.example", Route("smtp", "sub.corp.example"), False),
        ("x@inner.example", Route("smtp", "[10.0.0.1]:2525"), False),
        ("x@a.inner.example", Route("smtp", "[10.0.0.1]:2525"), False),
        ("x@elsewhere.example", Route("smtp", "elsewhere.example"), False),
        ("x@münchen.example", Route("smtp", "xn--mnchen-3ya.example"), False),
        ("x@[192.0.2.1]", Route("smtp", "[192.0.2.1]"), False),
        ("postmaster", Route("maildir", "home"), True),
    ],
)
def test_where_mail_goes(address: str, route: Route, local: bool) -> None:
    """EAI-3: domains are compared as A-labels."""
    mailbox = parse(address, utf8=True)
    assert ROUTER.route(Request(mailbox)) == route
    assert ROUTER.is_open(mailbox) is local


def test_a_smart_host_takes_the_rest_and_makes_nothing_local() -> None:
    """RFC 2505 section 2.1: a rule that relays is no leave for others to relay."""
    mailbox = parse("x@elsewhere.example")
    assert SMART.route(Request(mailbox)) == Route("smtp", "relay.isp.example:587")
    assert not SMART.is_open(mailbox)
    assert SMART.route(BOB) == Route("maildir", "home")


@pytest.mark.parametrize(
    "local", ["a%example.test", '"a@example.test"', "example.test!a", '"@example.test:a"']
)
def test_no_local_part_asks_to_be_passed_on(local: str) -> None:
    """RFC 5321 section 3.6: the percent hack, quoted at signs and bang paths mean nothing here."""
    outside = parse(f"{local}@elsewhere.example")
    assert not ROUTER.is_open(outside)
    assert ROUTER.route(Request(outside)) == Route("smtp", "elsewhere.example")
    inside = parse(local.replace("example.test", "elsewhere.example") + "@example.test")
    assert ROUTER.route(Request(inside)) == Route("maildir", "home")


def test_our_own_address_literal_is_local_only_when_a_rule_says_so() -> None:
    literal = parse("postmaster@[192.0.2.1]")
    assert not ROUTER.is_open(literal)
    assert Router([Rule(["[192.0.2.1]"], "maildir", "/m")], "h").is_open(literal)


def test_the_first_rule_that_matches_wins() -> None:
    first = Rule(["*"], "maildir", "/catch/{user}", "catch")
    assert Router([first, MAILDIR], "h").route(BOB) == Route("maildir", "catch")
    assert Router([MAILDIR, first], "h").route(BOB) == Route("maildir", "home")
    wide, narrow = (
        Rule([".example"], "maildir", "/w", "wide"),
        Rule([".a.example"], "maildir", "/n", "narrow"),
    )
    assert Router([narrow, wide], "h").route(Request(parse("x@b.a.example"))).next_hop == "narrow"
    assert Router([wide, narrow], "h").route(Request(parse("x@b.a.example"))).next_hop == "wide"


PATTERNS = ["*", ".x", ".a.x", "a.x", "b.a.x", "x", ".b.a.x"]


@given(st.lists(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3), max_size=5))
def test_the_index_agrees_with_reading_the_rules_in_order(patterns: list[list[str]]) -> None:
    rules = [Rule(domains, "maildir", "/m", str(number)) for number, domains in enumerate(patterns)]
    router = Router(rules, "h")
    for domain in ("x", "a.x", "b.a.x", "c.b.a.x", "y", "ax"):
        expected = next(
            (
                rule
                for rule in rules
                for pattern in rule.domains.patterns
                if pattern in ("*", domain) or (pattern.startswith(".") and domain.endswith(pattern))
            ),
            None,
        )
        assert router.decide(Request(Address("u", domain))).rule is expected


def test_the_bare_postmaster() -> None:
    """RFC 5321 section 4.5.1: always taken; the service's own postmaster goes first."""
    bare = Address("Postmaster", "")
    router = Router(ROUTER.rules, "mx.example.net", parse("admin@corp.example"))
    assert router.route(Request(bare)) == Route("lmtp", "unix:/run/lmtp")
    assert router.is_open(bare)
    away = Router([], "MX.example.net", parse("admin@elsewhere.example"))
    assert away.route(Request(bare)) == Route("smtp", "elsewhere.example")
    alone = Router([INNER], "MX.example.net")
    assert alone.route(Request(bare)) == Route("smtp", "mx.example.net")
    assert alone.is_open(bare)
    assert Router([], "h.example", bare).route(Request(bare)) == Route("smtp", "h.example")


def test_a_postmaster_at_our_own_name_is_read_where_we_deliver() -> None:
    """RFC 5321 section 4.5.1: by MX its mail would only come back to ourselves."""
    built_in = parse("postmaster@MX.example.net")
    below = Rule([".example", "*"], "maildir", "/b", "below")
    relayed = Rule(["first.example"], "smtp")
    here = Rule([".sub.example", "here.example", "also.example"], "maildir", "/m", "here")
    router = Router([relayed, here], "mx.example.net", built_in)
    assert router.postmaster == parse("postmaster@here.example")
    assert router.route(Request(Address("postmaster", ""))) == Route("maildir", "here")
    assert Router([below], "mx.example.net", built_in).postmaster == built_in, "* delivers that too"
    own = Rule(["mx.example.net"], "maildir", "/o", "own")
    assert Router([here, own], "mx.example.net", built_in).postmaster == built_in
    assert Router([relayed], "mx.example.net", built_in).postmaster == built_in, "nothing is local"
    told = parse("admin@elsewhere.example")
    assert Router([here], "mx.example.net", told).postmaster == told, "a person may read it elsewhere"


def test_a_route_from_the_queue_finds_its_rule_again() -> None:
    assert ROUTER.rule(Route("maildir", "home")) is MAILDIR
    assert ROUTER.rule(Route("pipe", "lists")) is LISTS
    assert ROUTER.rule(Route("lmtp", "unix:/run/lmtp", "helo.example")) is LMTP
    assert ROUTER.rule(Route("smtp", "[10.0.0.1]:2525")) is INNER
    assert ROUTER.rule(Route("maildir", "gone")) is None
    assert ROUTER.rule(Route("smtp", "example.org")) is None


def test_two_local_rules_of_one_name_are_refused() -> None:
    """The queue knows a local rule by its name alone."""
    with pytest.raises(ValueError, match="two maildir routes have the name 'home'"):
        Router([MAILDIR, Rule(["other.example"], "maildir", "/elsewhere", "home")], "h")
    same = Rule(["other.example"], "maildir", "/var/mail/{user}", "home")
    assert Router([MAILDIR, same], "h").route(Request(parse("x@other.example"))) == Route("maildir", "home")


def test_relaying_by_mx_may_be_a_rule() -> None:
    rule = Rule([".example"], "smtp", None, "mx")
    assert Router([rule], "h").route(Request(parse("x@A.example"))) == Route("smtp", "a.example")


@pytest.mark.parametrize("domain", ["", ".", "a..b", "a b", "-x", ".[192.0.2.1]", "[x]"])
def test_a_domain_that_can_match_nothing_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="is no domain"):
        Rule([domain], "maildir", "/m")


@pytest.mark.parametrize(
    ("transport", "argument"), [("uucp", "x"), ("lmtp", None), ("maildir", ""), ("pipe", ())]
)
def test_a_rule_that_cannot_deliver_is_refused(transport: str, argument: object) -> None:
    with pytest.raises(ValueError, match=r"route needs|no action"):
        Rule(["example.org"], transport, argument)  # type: ignore[arg-type]


def test_the_rule_by_which_mail_goes_out():
    """TLS-5: of a target its own rule, of a domain by MX the rule that takes the domain, and no other."""
    smart = Rule(["a.test"], "smtp", target.parse("[smart.test]"))
    by_mx = Rule(["b.test", ".b.test"], "smtp")
    router = Router([smart, by_mx, Rule(["c.test"], "maildir", "m/{user}")], "us.test")
    assert router.sending(Route("smtp", "[smart.test]", "helo.test")) is smart
    assert router.sending(Route("smtp", "b.test")) is by_mx
    assert router.sending(Route("smtp", "x.b.test")) is by_mx
    for none in (Route("smtp", "a.test"), Route("smtp", "other.test"), Route("lmtp", "b.test")):
        assert router.sending(none) is None


def test_what_is_found_is_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many domains somebody names."""
    monkeypatch.setattr(router_module, "REMEMBERED", 3)
    made = Router(ROUTER.rules, "mx.example.net")
    for number in range(10):
        one = parse(f"x@d{number}.example")
        assert made.route(Request(one)) == Route("smtp", f"d{number}.example")
    assert len(made._candidates) <= 3


def test_an_address_of_srs_is_forwarded_from_anybody(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("tops3cr3t\n")
    secret.chmod(0o600)
    srs = SrsFile("Example.com", str(secret), lambda: 1577836860.0)
    router = Router([Rule(["example.com"], "maildir", "/nowhere/{user}")], "mx.example.com", srs=srs)
    back = router.decide(Request(parse("SRS0=vmyz=2W=otherdomain.com=test@example.com")))
    assert back.open and back.rule is not None
    assert (back.rule.action, back.rule.argument) == ("forward", ("test@otherdomain.com",))
    forged = router.decide(Request(parse("SRS0=xxxx=2W=otherdomain.com=test@example.com")))
    assert forged.rule is not None and forged.rule.action == "refuse"
    assert forged.rule.argument is FORGED
    for other in ("ann@example.com", "SRS0=vmyz=2W=otherdomain.com=test@example.net"):
        decision = router.decide(Request(parse(other)))
        assert decision.rule is None or decision.rule.action == "maildir"
    secret.unlink()
    with pytest.raises(TableError, match="No such file"):
        router.decide(Request(parse("SRS0=vmyz=2W=otherdomain.com=test@example.com")))
