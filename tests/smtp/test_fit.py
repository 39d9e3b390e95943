"""What one server is told, and what cannot be sent to it (CLI-3, and what each extension asks)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether import address
from mether.envelope import By, Envelope, Recipient
from mether.smtp import fit as fits
from mether.smtp.extension import Offer, parse
from mether.smtp.fit import Fit, Policy, fit

EVERYTHING = parse(
    [
        "PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME",
        "AUTH PLAIN", "REQUIRETLS", "DELIVERBY 60", "MT-PRIORITY MIXER", "FUTURERELEASE 9 9",
    ]
)  # fmt: skip
NOTHING = Offer()


class Facts:
    """Facts of a content, as the relay has them."""

    def __init__(
        self,
        size: int = 100,
        *,
        eight_bit: bool = False,
        header_eight_bit: bool = False,
        binary: bool = False,
    ) -> None:
        self.size = size
        self.eight_bit = eight_bit or header_eight_bit
        self.header_eight_bit = header_eight_bit
        self.binary = binary


PLAIN = Facts()
EIGHT = Facts(eight_bit=True)
HEADER = Facts(header_eight_bit=True)
BINARY = Facts(binary=True)


def _to(*forward_paths: str, orcpt: str | None = None, notify: str | None = None) -> list[Recipient]:
    return [Recipient(address.parse(one, utf8=True), orcpt=orcpt, notify=notify) for one in forward_paths]


def _envelope(sender: str | None = "a@example.org", **given: object) -> Envelope:
    path = None if sender is None else address.parse(sender, utf8=True)
    return Envelope(path, _to("b@example.com"), **given)  # type: ignore[arg-type]


def _fit(envelope: Envelope, facts: Facts = PLAIN, offer: Offer = EVERYTHING, **given: object) -> Fit:
    return fit(envelope, envelope.recipients, facts, offer, **given)  # type: ignore[arg-type]


FULL = {
    "ret": "hdrs",
    "envid": "QQ+2B1",
    "auth": "a=b@example.org",
    "by": By(3600, "N", True),
    "priority": 4,
    "requiretls": True,
    "smtputf8": True,
    "hold": "for;3600",
}


def test_plain_message_gets_the_size_alone() -> None:
    """CLI-3: nothing is said that the message does not need."""
    made = _fit(_envelope())
    assert made.mail == ["SIZE=100"]
    assert [list(one) for one in made.rcpt] == [[]]
    assert made.chunking and made.notifies and made.convert is None and made.refusal is None


def test_everything_is_passed_on() -> None:
    """CLI-3, DSN-3, AUT-7, EXT-1, EXT-3: each parameter in its form; FUTURERELEASE is used up (EXT-2)."""
    envelope = _envelope(**FULL)
    envelope.recipients = _to("b@example.com", orcpt="rfc822;B+2B@Example.COM", notify="success,Delay")
    made = _fit(envelope, HEADER, waited=600.7)
    assert made.mail == [
        "SIZE=100", "BODY=8BITMIME", "SMTPUTF8", "BY=3000;NT", "RET=hdrs", "ENVID=QQ+2B1",
        "AUTH=a+3Db@example.org", "REQUIRETLS", "MT-PRIORITY=4",
    ]  # fmt: skip
    assert list(made.rcpt[0]) == ["NOTIFY=success,Delay", "ORCPT=rfc822;B+2B@Example.COM"]


def test_nothing_is_said_to_a_server_that_offers_nothing() -> None:
    """CLI-3, DSN-4: no parameter at all; who reports stays here."""
    envelope = _envelope(None, ret="FULL", envid="x", priority=3, by=By(60, "N"), auth="a@example.org")
    envelope.recipients = _to("b@example.com", orcpt="rfc822;b@example.com", notify="SUCCESS")
    made = _fit(envelope, PLAIN, NOTHING)
    assert made.mail == [] and [list(one) for one in made.rcpt] == [[]]
    assert not made.notifies and not made.chunking and made.relayed and made.refusal is None


@given(
    st.sets(st.sampled_from(sorted(EVERYTHING.keywords))),
    st.sampled_from([PLAIN, EIGHT, HEADER, BINARY]),
    st.booleans(),
)
def test_only_what_was_offered(keywords: set[str], facts: Facts, authenticated: bool) -> None:
    """CLI-3: whatever the offer, each parameter belongs to an extension in it."""
    of = {
        "SIZE": "SIZE", "SMTPUTF8": "SMTPUTF8", "BY": "DELIVERBY", "RET": "DSN", "ENVID": "DSN",
        "NOTIFY": "DSN", "ORCPT": "DSN", "AUTH": "AUTH",
        "REQUIRETLS": "REQUIRETLS", "MT-PRIORITY": "MT-PRIORITY",
    }  # fmt: skip
    offer = Offer({one: EVERYTHING.keywords[one] for one in keywords})
    envelope = _envelope(**FULL)
    envelope.recipients = _to("b@example.com", "ü@example.com", orcpt="utf-8;ü@x", notify="SUCCESS")
    made = _fit(envelope, facts, offer, authenticated=authenticated)
    for parameter in [*made.mail, *(one for parameters in made.rcpt for one in parameters)]:
        name, _, value = parameter.partition("=")
        needed = {"8BITMIME": "8BITMIME", "BINARYMIME": "BINARYMIME"}[value] if name == "BODY" else of[name]
        assert needed in keywords
        assert parameter.isascii() or "SMTPUTF8" in made.mail
    assert not made.chunking or "CHUNKING" in keywords


# Size


def test_too_large() -> None:
    """SIZ-5: refused before a word is said, 552 5.3.4."""
    refusal = _fit(_envelope(), Facts(1_000_001)).refusal
    assert refusal is not None and (refusal.code, refusal.status) == (552, "5.3.4")
    assert _fit(_envelope(), Facts(1_000_000)).refusal is None
    assert _fit(_envelope(), Facts(10**9), parse(["SIZE 0"])).refusal is None


# 8BITMIME, BINARYMIME, CHUNKING


def test_eight_bit_to_seven() -> None:
    """8BM-2: to be converted, or returned with 5.6.3 where the configuration says so."""
    for body in ("8BITMIME", "7BIT"):
        made = _fit(_envelope(body=body), EIGHT, NOTHING)
        assert made.convert == "7bit" and made.refusal is None
    made = _fit(_envelope(body="8BITMIME"), EIGHT, NOTHING, policy=Policy(convert=False))
    assert made.refusal == fits.NOT_CONVERTED and made.refusal.status == "5.6.3"
    assert made.missing == "8BITMIME"


def test_a_report_asks_for_none() -> None:
    """BNC-1: RFC 3461 section 6.1: NOTIFY=NEVER, and no RET."""
    made = _fit(Envelope(None, [Recipient(address.parse("a@example.com"), notify="NEVER")]), PLAIN, SEVEN)
    assert made.mail == []
    assert [list(one) for one in made.rcpt] == [["NOTIFY=NEVER"]]


def test_a_report_is_converted_though_nothing_else_is() -> None:
    """BNC-6: it could be returned to nobody."""
    report = Envelope(None, [Recipient(address.parse("a@example.com"))], body="8BITMIME")
    made = _fit(report, EIGHT, NOTHING, policy=Policy(convert=False))
    assert made.convert == "7bit" and made.refusal is None


def test_what_needs_no_eight_bits_is_not_said_to() -> None:
    """8BM-3: declared 8BITMIME, but seven bits in fact: nothing stands in its way."""
    made = _fit(_envelope(body="8BITMIME"), PLAIN, NOTHING)
    assert made.convert is None and made.mail == []


def test_binary() -> None:
    """8BM-4, 8BM-5: BINARYMIME needs CHUNKING; else 8-bit where offered, else 7-bit."""
    envelope = _envelope(body="BINARYMIME")
    made = _fit(envelope, BINARY)
    assert "BODY=BINARYMIME" in made.mail and made.chunking
    assert _fit(envelope, BINARY, parse(["BINARYMIME", "8BITMIME"])).convert == "8bit"
    assert _fit(envelope, BINARY, parse(["CHUNKING", "8BITMIME"])).convert == "8bit"
    assert _fit(envelope, BINARY, parse(["CHUNKING"])).convert == "7bit"
    assert _fit(envelope, BINARY, policy=Policy(chunking=False)).chunking


def test_bdat_can_be_switched_off() -> None:
    """BDT-1: where it is not needed."""
    assert not _fit(_envelope(), policy=Policy(chunking=False)).chunking


def test_a_large_message_is_measured_once_it_is_converted() -> None:
    """SIZ-5: what would be too large is known after the conversion."""
    made = _fit(_envelope(), Facts(10**7, eight_bit=True), parse(["SIZE 1000"]))
    assert made.convert == "7bit" and made.refusal is None


@pytest.mark.parametrize(
    ("body", "smtputf8", "offer", "believed"),
    [
        ("7BIT", False, ["8BITMIME"], True),
        ("7BIT", False, [], False),
        ("8BITMIME", True, ["8BITMIME"], False),
        ("8BITMIME", True, ["8BITMIME", "SMTPUTF8"], True),
        ("BINARYMIME", False, ["8BITMIME", "CHUNKING"], False),
        ("BINARYMIME", False, ["8BITMIME", "CHUNKING", "BINARYMIME"], True),
    ],
)
def test_when_the_declaration_will_do(body: str, smtputf8: bool, offer: list[str], believed: bool) -> None:
    """8BM-2: content is looked at only where something may be amiss."""
    assert fits.believes(_envelope(body=body, smtputf8=smtputf8), parse(offer)) == believed


# SMTPUTF8

SEVEN = parse(["8BITMIME", "DSN"])


def test_flag_only_when_needed() -> None:
    """EAI-2, EAI-5: flagged at reception, plain in fact, hence sent without."""
    envelope = _envelope(smtputf8=True)
    assert "SMTPUTF8" not in _fit(envelope).mail
    assert _fit(envelope, EIGHT, SEVEN).refusal is None
    assert "SMTPUTF8" in _fit(envelope, HEADER).mail
    assert "SMTPUTF8" in _fit(_envelope("ü@example.org")).mail


def test_undeclared_header_goes_as_it_came() -> None:
    """8BM-1: eight bits in a header that nobody called UTF-8 are kept where the server keeps them."""
    made = _fit(_envelope(), HEADER, SEVEN)
    assert made.refusal is None and made.mail == ["BODY=8BITMIME"]


def test_internationalized_header() -> None:
    """EAI-5: 554 5.6.9, and another host may be asked."""
    made = _fit(_envelope(smtputf8=True), HEADER, SEVEN)
    assert made.refusal is not None and (made.refusal.code, made.refusal.status) == (554, "5.6.9")
    assert made.missing == "SMTPUTF8"


def test_downgraded_domains() -> None:
    """EAI-5: A-labels where the rest is ASCII."""
    envelope = _envelope("a@bücher.example", smtputf8=True)
    envelope.recipients = _to("b@bücher.example", "c@example.com")
    made = _fit(envelope, EIGHT, SEVEN)
    assert made.refusal is None and not made.refused
    assert str(made.reverse_path) == "a@xn--bcher-kva.example"
    assert [str(one) for one in made.forward_paths] == ["b@xn--bcher-kva.example", "c@example.com"]
    assert str(envelope.recipients[0].forward_path) == "b@bücher.example"


def test_downgrading_can_be_switched_off() -> None:
    """EAI-5: returned instead."""
    made = _fit(_envelope("a@bücher.example"), PLAIN, SEVEN, policy=Policy(downgrade=False))
    assert made.refusal == fits.NO_SMTPUTF8_SENDER


def test_sender_that_cannot_be_downgraded() -> None:
    """EAI-5: 550 5.6.7 for all."""
    made = _fit(_envelope("ü@example.org"), PLAIN, SEVEN)
    assert made.refusal is not None and (made.refusal.code, made.refusal.status) == (550, "5.6.7")


def test_recipient_that_cannot_be_downgraded() -> None:
    """EAI-5: 553 5.6.7 for that recipient; the others go."""
    envelope = _envelope()
    envelope.recipients = _to("ü@example.com", "c@example.com")
    made = _fit(envelope, PLAIN, SEVEN)
    assert made.refusal is None
    assert {number: (reply.code, reply.status) for number, reply in made.refused.items()} == {
        0: (553, "5.6.7")
    }
    envelope.recipients = _to("ü@example.com")
    assert _fit(envelope, PLAIN, SEVEN).refusal == fits.NO_SMTPUTF8_RECIPIENT


def test_orcpt_in_seven_bits() -> None:
    r"""EAI-7: ``\x{HEX}`` to a server without SMTPUTF8, the octets as they came to one with it."""
    envelope = _envelope(smtputf8=True)
    envelope.recipients = _to("b@example.com", orcpt="UTF-8;bü\\x{2B}r@€.example")
    assert list(_fit(envelope, PLAIN, SEVEN).rcpt[0]) == ["ORCPT=UTF-8;b\\x{FC}\\x{2B}r@\\x{20AC}.example"]
    made = _fit(envelope)
    assert list(made.rcpt[0]) == ["ORCPT=UTF-8;bü\\x{2B}r@€.example"] and "SMTPUTF8" in made.mail


# DELIVERBY

BY_N = {"by": By(3600, "N")}


def test_remaining_seconds() -> None:
    """EXT-1: what is left, negative once it has passed."""
    assert "BY=3599;N" in _fit(_envelope(**BY_N), waited=1.9).mail
    assert "BY=-400;N" in _fit(_envelope(**BY_N), waited=4000).mail
    assert "BY=-999999999;N" in _fit(_envelope(**BY_N), waited=1e12).mail


def test_return_by_time_is_not_relayed_to_who_keeps_none() -> None:
    """EXT-1: R never goes to a server without DELIVERBY, nor to one whose minimum is later."""
    envelope = _envelope(by=By(3600, "R"))
    assert _fit(envelope, PLAIN, SEVEN).refusal == fits.NO_DELIVERBY
    assert _fit(envelope, PLAIN, SEVEN, lmtp=True).refusal is None
    assert _fit(envelope, waited=3560).refusal == fits.TOO_SOON
    assert _fit(envelope, waited=3600).refusal == fits.EXPIRED
    assert "BY=60;R" in _fit(envelope, waited=3540).mail


def test_notify_by_time_to_who_keeps_none() -> None:
    """EXT-1: N goes, is owed a relayed report, and asks for reports of delay (RFC 2852 4.1.4.2)."""
    envelope = _envelope(**BY_N)
    for notify, said in (
        (None, "FAILURE,DELAY"),
        ("NEVER", "NEVER"),
        ("SUCCESS", "SUCCESS,DELAY"),
        ("delay", "delay"),
    ):
        envelope.recipients = _to("b@example.com", notify=notify)
        made = _fit(envelope, PLAIN, SEVEN)
        assert made.relayed and list(made.rcpt[0]) == [f"NOTIFY={said}"]
        assert not _fit(envelope, PLAIN, SEVEN, waited=4000).relayed
        assert not _fit(envelope).relayed
    assert _fit(_envelope(by=By(3600, "N", True))).relayed


# REQUIRETLS, AUTH


def test_requiretls() -> None:
    """Section 23 (RFC 8689): 5.7.30 where it is not offered, 5.7.10 without TLS; reports go anyway."""
    envelope = _envelope(requiretls=True)
    assert _fit(envelope, PLAIN, SEVEN, secured=True).refusal == fits.NO_REQUIRETLS
    assert _fit(envelope, PLAIN, SEVEN).refusal == fits.NO_TLS
    assert _fit(envelope, PLAIN, SEVEN, lmtp=True).refusal is None
    assert _fit(_envelope(None, requiretls=True), PLAIN, SEVEN).refusal is None
    assert "REQUIRETLS" in _fit(_envelope(None, requiretls=True)).mail


@pytest.mark.parametrize(
    ("auth", "authenticated", "said"),
    [
        (None, False, []),
        ("<>", False, []),
        (None, True, ["AUTH=<>"]),
        ("<>", True, ["AUTH=<>"]),
        ("a+b@example.org", False, ["AUTH=a+2Bb@example.org"]),
    ],
)
def test_auth(auth: str | None, authenticated: bool, said: list[str]) -> None:
    """AUT-7: a name vouched for to any server that takes it, <> where we logged in."""
    offer = parse(["AUTH PLAIN"])
    assert _fit(_envelope(auth=auth), PLAIN, offer, authenticated=authenticated).mail == said
    assert _fit(_envelope(auth=auth), PLAIN, NOTHING, authenticated=authenticated).mail == []
