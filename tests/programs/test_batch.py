"""Batch SMTP is what a client would have said to in.smtpd, dots included (RFC 2442)."""

import pytest

from mether.address import Address
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Route
from mether.programs import batch
from mether.queue.content import in_memory
from mether.queue.message import Arrival, Entry, Message, Row

NOW = 1_000_000_000.0  # 2001-09-09T01:46:40Z
TO = Recipient(Address("b", "x.test"), notify="NEVER", orcpt="rfc822;c@x.test")


def entry(*recipients, sender=None, trace=b"", came=NOW, release_at=0.0, **envelope):
    message = Message(
        "0" * 13,
        Envelope(sender, recipients, **envelope),
        Arrival(came),
        trace=trace,
        size=9,
        expires=1,
        release_at=release_at,
    )
    rows = [Row(i, each, Route("smtp", "x")) for i, each in enumerate(recipients)]
    return Entry(message, rows)


def written(of, content=b""):
    return b"".join(batch.transaction(of, in_memory(content), NOW))


def mail(**envelope):
    """The parameters of MAIL but for SIZE."""
    line = written(entry(TO, **envelope)).split(b"\r\n")[0].decode()
    assert line.startswith("MAIL FROM:<> SIZE=9")
    return line[len("MAIL FROM:<> SIZE=9 ") :]


def test_everything_that_the_envelope_says_is_written():
    of = entry(
        TO,
        sender=Address("a", "y.test"),
        body="8BITMIME",
        ret="HDRS",
        envid="Q1",
        smtputf8=True,
        requiretls=True,
        auth="x=y@y.test",
        priority=-3,
    )
    assert written(of).split(b"\r\n")[:3] == [
        b"MAIL FROM:<a@y.test> SIZE=9 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=Q1 "
        b"AUTH=x+3Dy@y.test MT-PRIORITY=-3",
        b"RCPT TO:<b@x.test> NOTIFY=NEVER ORCPT=rfc822;c@x.test",
        b"DATA",
    ]
    assert mail(auth="<>") == "AUTH=<>"


@pytest.mark.parametrize(
    ("by", "ago", "left"),
    [
        (By(120, "R"), 0, "120;R"),
        (By(120, "R", True), 60.5, "60;RT"),
        (By(120, "R"), 120, "1;R"),
        (By(120, "R"), 9999, "1;R"),
        (By(120, "N"), 180, "-60;N"),
        (By(-5, "N", True), 0, "-5;NT"),
    ],
)
def test_by_has_what_is_left_of_its_time(by, ago, left):
    """EXT-1: R with nothing left is returned as soon as it can be said (RFC 2852 section 4)."""
    assert mail(by=by, came=NOW - ago) == f"BY={left}"


def test_a_hold_ends_when_it_would_have_ended():
    """EXT-2: never released early, so not a millisecond before."""
    assert mail(hold="for;3600", release_at=NOW + 60) == "HOLDUNTIL=2001-09-09T01:47:40Z"
    assert mail(hold="for;3600", release_at=NOW + 0.2501) == "HOLDUNTIL=2001-09-09T01:46:40.251Z"
    assert mail(hold="until;2026-12-24T18:00:00+01:00") == "HOLDUNTIL=2026-12-24T18:00:00+01:00"


def test_dots_are_stuffed_where_trace_and_content_meet():
    out = written(entry(TO, trace=b"T: 1\r\n"), b".a\r\n.\r\nend")
    assert out.endswith(b"DATA\r\nT: 1\r\n..a\r\n..\r\nend\r\n.\r\n")


def test_binary_content_goes_as_it_is():
    """RFC 3030 section 3: BINARYMIME is not for DATA."""
    out = written(entry(TO, trace=b"T: 1\r\n", body="BINARYMIME"), b".a\n\0\r")
    assert out.endswith(b"\r\nBDAT 11 LAST\r\nT: 1\r\n.a\n\0\r")


def test_what_cannot_stand_in_a_command_is_refused():
    with pytest.raises(ValueError, match="control character"):
        written(entry(Recipient(Address("a\r\nDATA", "x.test"))))


def test_a_plain_batch_asks_for_nothing():
    """RFC 5321 section 4.1.4: after HELO no parameter may be used."""
    of = entry(TO, sender=Address("a", "y.test"), body="8BITMIME", ret="HDRS", envid="Q1", priority=-3)
    assert batch.opening("mx.test", plain=True) == b"HELO mx.test\r\n"
    lines = b"".join(batch.transaction(of, in_memory(b".x\r\n"), NOW, plain=True)).split(b"\r\n")
    assert lines == [b"MAIL FROM:<a@y.test>", b"RCPT TO:<b@x.test>", b"DATA", b"..x", b".", b""]
    assert batch.unfit(of, NOW) is None


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (entry(TO, requiretls=True), "REQUIRETLS"),
        (entry(TO, body="BINARYMIME"), "binary"),
        (entry(TO, smtputf8=True), "SMTPUTF8"),
        (entry(TO, by=By(100, "R")), "RFC 2852"),
        (entry(TO, release_at=NOW + 1), "RFC 4865"),
    ],
)
def test_what_would_be_wrong_without_its_parameters_is_not_in_a_plain_batch(of, why):
    assert why in batch.unfit(of, NOW)
