"""Batch SMTP is what a client would have said to in.smtpd, dots included (RFC 2442)."""

import pytest

from mether.address import Address
from mether.envelope import Envelope, Recipient
from mether.outcome import Route
from mether.programs import batch
from mether.queue.content import in_memory
from mether.queue.store import Arrival, Entry, Message, Row


def entry(*recipients, sender=None, trace=b"", **envelope):
    message = Message(
        "0" * 13, Envelope(sender, recipients, **envelope), Arrival(0), trace=trace, size=9, expires=1
    )
    rows = [Row(i, each, Route("smtp", "x")) for i, each in enumerate(recipients)]
    return Entry(message, rows)


TO = Recipient(Address("b", "x.test"), notify="NEVER", orcpt="rfc822;c@x.test")


def test_only_parameters_that_in_smtpd_takes_are_written():
    """RFC 5321 section 4.1.1.11: a parameter that is not known is a 555, and its recipient lost."""
    of = entry(TO, sender=Address("a", "y.test"), body="8BITMIME", ret="HDRS", envid="Q1", smtputf8=True)
    out = b"".join(batch.transaction(of, in_memory(b"")))
    assert out.split(b"\r\n")[:2] == [
        b"MAIL FROM:<a@y.test> SIZE=9 BODY=8BITMIME",
        b"RCPT TO:<b@x.test>",
    ]
    assert batch.left_out(of) == {"SMTPUTF8", "RET", "ENVID", "NOTIFY", "ORCPT"}
    assert batch.left_out(entry(Recipient(TO.forward_path), body="8BITMIME")) == set()


def test_dots_are_stuffed_where_trace_and_content_meet():
    out = b"".join(batch.transaction(entry(TO, trace=b"T: 1\r\n"), in_memory(b".a\r\n.\r\nend")))
    assert out.endswith(b"DATA\r\nT: 1\r\n..a\r\n..\r\nend\r\n.\r\n")


def test_what_cannot_stand_in_a_command_is_refused():
    with pytest.raises(ValueError, match="control character"):
        b"".join(batch.transaction(entry(Recipient(Address("a\r\nDATA", "x.test"))), in_memory(b"")))
