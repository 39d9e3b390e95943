"""The Sender Rewriting Scheme."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import Address, AddressError, parse
from mether.routing.srs import FORGED, MALFORMED, MAX_AGE, OLD, Srs, SrsError

THEN = 1577836860
"""The time in PostSRSd's own tests, with their secret."""
DAY = 86400


def scheme(domain: str = "example.com", *secrets: bytes, **more: float) -> Srs:
    return Srs(domain, secrets or (b"tops3cr3t",), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sender", "made"),
    [
        ("test@otherdomain.com", "SRS0=vmyz=2W=otherdomain.com=test@example.com"),
        ("SRS0=opaque+string@otherdomain.com", "SRS1=chaI=otherdomain.com==opaque+string@example.com"),
        (
            "SRS1=X=thirddomain.com==opaque+string@otherdomain.com",
            "SRS1=JIBX=thirddomain.com==opaque+string@example.com",
        ),
        ("test@example.com", "test@example.com"),
        ("test@EXAMPLE.com", "test@EXAMPLE.com"),
    ],
)
def test_the_published_examples(sender: str, made: str) -> None:
    """libsrs2's and PostSRSd's."""
    assert str(scheme().forward(parse(sender), THEN)) == made


def test_a_report_goes_to_the_author_whoever_wrote_the_address_in_capitals() -> None:
    made = "srs0=VMYZ=2w=otherdomain.com=test@EXAMPLE.COM"
    assert scheme().is_ours(parse(made))
    assert str(scheme().reverse(parse(made), THEN)) == "test@otherdomain.com"


def test_from_the_second_forwarder_a_report_goes_to_the_first() -> None:
    first, second, third = scheme("a.example", b"1"), scheme("b.example", b"2"), scheme("c.example", b"3")
    one = first.forward(Address("ann", "example.net"), THEN)
    two = second.forward(one, THEN)
    three = third.forward(two, THEN)
    assert str(three).startswith("SRS1=") and "=a.example==" in str(three)
    back = third.reverse(three, THEN)
    assert back == one == second.reverse(two, THEN)
    assert str(first.reverse(back, THEN)) == "ann@example.net"


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("SRS0=vmyy=2W=otherdomain.com=test@example.com", FORGED),
        ("SRS0=vmyz=2W=otherdomain.com=text@example.com", FORGED),
        ("SRS0=vmyz=2W=otherdomain.org=test@example.com", FORGED),
        ("SRS0=vmyz=2X=otherdomain.com=test@example.com", FORGED),
        ("SRS0==2W=otherdomain.com=test@example.com", FORGED),
        ("SRS1=chaI=otherdomain.net==opaque+string@example.com", FORGED),
        ("SRS1=chaI@example.com", FORGED),
        ("SRS0=vmyz@example.com", MALFORMED),
        ("SRS0=@example.com", MALFORMED),
    ],
)
def test_what_we_did_not_make_is_refused(address: str, reply: object) -> None:
    with pytest.raises(SrsError) as caught:
        scheme().reverse(parse(address), THEN)
    assert caught.value.reply is reply


def test_an_address_gets_old() -> None:
    made = scheme().forward(Address("ann", "example.net"), THEN)
    assert scheme().reverse(made, THEN + MAX_AGE) == Address("ann", "example.net")
    assert scheme().reverse(made, THEN - DAY) == Address("ann", "example.net"), "the clock was set back"
    for at in (THEN + MAX_AGE + DAY, THEN - 3 * DAY, THEN + 500 * DAY):
        with pytest.raises(SrsError) as caught:
            scheme().reverse(made, at)
        assert caught.value.reply is OLD
    assert scheme(max_age=600 * DAY).reverse(made, THEN + 500 * DAY)


def test_the_days_begin_anew_after_1024_of_them() -> None:
    then = 1024 * DAY * 20 - 10
    made = scheme().forward(Address("ann", "example.net"), then)
    assert scheme().reverse(made, then + 5 * DAY)


def test_a_new_secret_signs_and_the_old_ones_are_believed() -> None:
    old = scheme("example.com", b"old").forward(Address("ann", "example.net"), THEN)
    both = scheme("example.com", b"new", b"old")
    assert both.reverse(old, THEN)
    new = both.forward(Address("ann", "example.net"), THEN)
    assert scheme("example.com", b"new").reverse(new, THEN)
    with pytest.raises(SrsError):
        scheme("example.com", b"new").reverse(old, THEN)


def test_what_has_no_room_stays_as_it_is() -> None:
    """RFC 5321 section 4.5.3.1.1: a longer local-part could not be answered, here or anywhere."""
    long = Address("a" * 40, "a-long-name.example.net")
    assert scheme().forward(long, THEN) is long
    fits = scheme().forward(Address("a" * 34, "bb.example.net"), THEN)
    assert len(fits.local_part) <= 64 and fits.domain == "example.com"


def test_only_addresses_at_our_domain_are_ours() -> None:
    assert not scheme().is_ours(parse("SRS0=vmyz=2W=otherdomain.com=test@example.net"))
    assert not scheme().is_ours(parse("srs0@example.com"))
    assert not scheme().is_ours(parse("srs0x@example.com"))
    assert not scheme().is_ours(parse("ann@example.com"))


@pytest.mark.parametrize("secrets", [(), (b"",), (b"good", b"")])
def test_there_must_be_a_secret(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="secret"):
        Srs("example.com", secrets)


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=20),
    st.integers(0, 40000),
    st.integers(4, 27),
)
def test_what_was_forwarded_comes_back(local: str, day: int, length: int) -> None:
    from mether.address import quote

    srs = scheme(length=length)
    try:
        sender = parse(f"{quote(local)}@host.example.net", utf8=True)
    except AddressError:
        return
    made = srs.forward(sender, day * DAY)
    if made is sender:
        return
    assert parse(str(made), utf8=True) == made
    assert srs.is_ours(made)
    back = srs.reverse(made, (day + 3) * DAY)
    if local[:4].upper() not in ("SRS0", "SRS1"):
        assert back == sender
