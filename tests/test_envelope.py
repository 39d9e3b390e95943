"""The envelope: a plain value."""

from __future__ import annotations

import pytest

from mether.address import parse
from mether.envelope import Envelope, Recipient

BOB = parse("bob@example.test")


def test_what_no_command_said() -> None:
    """8BM-1, SIZ-1: without parameters, 7BIT and no declared size."""
    envelope = Envelope(None)
    assert (envelope.body, envelope.size, envelope.smtputf8, envelope.requiretls) == (
        "7BIT",
        None,
        False,
        False,
    )
    assert (envelope.ret, envelope.envid, envelope.recipients) == (None, None, [])
    assert (Recipient(BOB).orcpt, Recipient(BOB).notify) == (None, None)


def test_each_envelope_has_its_own_recipients() -> None:
    given = [Recipient(BOB)]
    one, other = Envelope(BOB, given), Envelope(BOB, given)
    one.recipients.append(Recipient(parse("carol@example.test")))
    assert len(other.recipients) == len(given) == 1


def test_equal_when_all_is_equal() -> None:
    def make(**more: object) -> Envelope:
        return Envelope(BOB, [Recipient(parse("Carol@Example.test"), notify="NEVER")], **more)  # type: ignore[arg-type]

    assert make() == make()
    assert make(size=1) != make()
    assert make(body="8BITMIME") != make()
    assert make(envid="x") != make()
    assert Envelope(None) != Envelope(BOB)
    assert Recipient(BOB) != Recipient(BOB, orcpt="rfc822;bob@example.test")
    assert Envelope(BOB) != BOB


def test_they_change_and_so_are_no_keys() -> None:
    with pytest.raises(TypeError):
        hash(Envelope(None))
    with pytest.raises(TypeError):
        hash(Recipient(BOB))


def test_shown_to_a_person() -> None:
    assert repr(Envelope(None, [Recipient(BOB)])) == "Envelope(None, [Recipient('bob@example.test')])"
