"""Reverse-paths that tell which message came back, and from whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import Address, parse
from mether.content import verp

ID = "0D5K3H7M2Q9XA"
ANN = parse("ann@example.org")
BOB = parse("bob@example.net")


def test_it_holds_the_message_and_the_recipient() -> None:
    made = verp.encode(ANN, ID, BOB)
    assert str(made) == f"ann+{ID}=bob=example.net@example.org"
    sent = verp.decode(str(made))
    assert sent is not None
    assert (sent.sender, sent.queue_id, sent.recipient) == ("ann@example.org", ID, "bob@example.net")


@pytest.mark.parametrize(
    ("sender", "recipient", "made"),
    [
        ("ann@example.org", None, f"ann+{ID}=@example.org"),
        ("ann+news@example.org", "bob@example.net", f"ann+news+{ID}=bob=example.net@example.org"),
        ("ann@example.org", "b+c=d@example.net", f"ann+{ID}=b+c=d=example.net@example.org"),
        ("ann@example.org", '"b c"@example.net', f'"ann+{ID}=b c=example.net"@example.org'),
        ("ann@example.org", "bob@[192.0.2.1]", f'"ann+{ID}=bob=[192.0.2.1]"@example.org'),
    ],
)
def test_what_has_room(sender: str, recipient: str | None, made: str) -> None:
    got = verp.encode(parse(sender), ID, None if recipient is None else parse(recipient))
    assert str(got) == made
    back = verp.decode(made)
    assert back is not None
    assert (back.sender, back.recipient) == (sender, recipient or "")


def test_without_room_for_the_recipient_it_has_the_message_alone() -> None:
    """RFC 5321 section 4.5.3.1.1: a local-part has 64 octets."""
    long = parse(f"{'b' * 40}@example.net")
    assert str(verp.encode(ANN, ID, long)) == f"ann+{ID}=@example.org"
    full = parse(f"{'a' * 60}@example.org")
    assert verp.encode(full, ID, BOB) == full


def test_it_never_asks_for_smtputf8() -> None:
    foreign = parse("björn@example.net", utf8=True)
    assert str(verp.encode(ANN, ID, foreign)) == f"ann+{ID}=@example.org"
    assert "björn=example.net" in str(verp.encode(parse("ånn@example.org", utf8=True), ID, foreign))


def test_what_is_one_already_stays() -> None:
    made = verp.encode(ANN, ID, BOB)
    assert verp.encode(made, "1D5K3H7M2Q9XA", BOB) is made
    assert str(verp.encode(Address("root", ""), ID, BOB)) == "root"


@pytest.mark.parametrize(
    "text",
    ["", "ann", "@", "ann@example.org", "ann+news@example.org", f"ann+{ID}@example.org", f"+{ID}=@b.example"],
)
def test_what_is_none(text: str) -> None:
    assert verp.decode(text) is None


def test_capitals_do_not_matter() -> None:
    """Some hosts change them."""
    sent = verp.decode(f"<Ann+{ID.lower()}=bob=example.net@Example.org>")
    assert sent is not None
    assert sent.queue_id == ID


@given(st.text(max_size=80))
def test_no_text_is_too_odd(text: str) -> None:
    verp.decode(text)
    verp.decode(f"a+{ID}={text}@example.org")


@given(
    st.from_regex(r"[a-z+=.]{1,20}", fullmatch=True).filter(lambda t: ".." not in t and t.strip(".") == t),
    st.from_regex(r"[a-z+=-]{1,20}", fullmatch=True),
)
def test_what_is_made_is_read(sender: str, recipient: str) -> None:
    made = verp.encode(Address(sender, "example.org"), ID, Address(recipient, "example.net"))
    back = verp.decode(str(made))
    assert len(made.local_part) <= 64
    assert back is not None
    assert (back.sender, back.queue_id) == (f"{sender}@example.org", ID)
    assert back.recipient in (f"{recipient}@example.net", "")
