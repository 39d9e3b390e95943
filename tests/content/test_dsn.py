"""Reports: what a person reads in them, what a program finds in them, and that nothing breaks them."""

from __future__ import annotations

import quopri
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mether.address import Address, parse
from mether.content import convert, dsn, returned
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply

AT = 1772529164.0
ORIGINAL = b"Received: by mx.example.net\r\nFrom: alice@example.org\r\nSubject: hi\r\n\r\nThe body.\r\n"
NO_USER = Reply(550, "5.1.1", "<bob@example.com> no such user")


def item(
    recipient: str = "bob@example.com",
    action: str = "failed",
    reply: Reply = NO_USER,
    remote_mta: str = "mail.example.com",
    orcpt: str | None = None,
    **more: float,
) -> dsn.Item:
    outcome = Outcome(0, action, reply, remote_mta=remote_mta, at=AT)  # type: ignore[arg-type]
    return dsn.Item(Recipient(parse(recipient, utf8=True), orcpt=orcpt), outcome, **more)


def about(envelope: Envelope | None = None, **changes: object) -> dsn.About:
    given: dict[str, object] = {"arrival": AT - 4, "original": ORIGINAL, "complete": True}
    return dsn.About(envelope or Envelope(parse("alice@example.org")), "ABC", **{**given, **changes})  # type: ignore[arg-type]


def report(items: list[dsn.Item] | None = None, **changes: object) -> bytes:
    given: dict[str, object] = {
        "reporting_mta": "mx.example.net",
        "ident": "REPORT1",
        "boundary": "b1",
        "to": parse("alice@example.org"),
        "postmaster": Address("postmaster", "mx.example.net"),
        "at": AT,
        "about": about(),
        "items": items or [item()],
    }
    return dsn.report(**{**given, **changes})  # type: ignore[arg-type]


def read(content: bytes) -> EmailMessage:
    """The report as the standard library sees it, held against what every report must be."""
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    message = message_from_bytes(content, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    parts = message.get_payload()
    assert len(parts) == 3
    assert parts[0].get_content_type() == "text/plain"
    assert parts[1].get_content_type() in ("message/delivery-status", "message/global-delivery-status")
    assert not any(part.defects for part in parts)
    return message


def blocks(message: EmailMessage) -> list[EmailMessage]:
    part = message.get_payload(1)
    assert isinstance(part, EmailMessage)
    if part.get_content_type() == "message/delivery-status":
        return part.get_payload()  # type: ignore[return-value]
    # The standard library reads the other type as a message: its text is what it makes of it.
    octets = part.as_bytes(policy=policy.SMTPUTF8).partition(b"\r\n\r\n")[2]
    if part["Content-Transfer-Encoding"] == "quoted-printable":
        octets = quopri.decodestring(octets)
    return [
        message_from_bytes(block, policy=policy.SMTPUTF8)  # type: ignore[misc]
        for block in octets.strip().split(b"\r\n\r\n")
    ]


def text(message: EmailMessage) -> str:
    return message.get_payload(0).get_content()  # type: ignore[union-attr]


def test_the_header() -> None:
    """BNC-4, BNC-5."""
    message = read(report())
    assert message["From"] == "Mail Delivery System <postmaster@mx.example.net>"
    assert message["To"] == "alice@example.org"
    assert message["Date"] == "Tue, 03 Mar 2026 09:12:44 +0000"
    assert message["Message-ID"] == "<REPORT1@mx.example.net>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["MIME-Version"] == "1.0"
    assert message["Subject"] == "Undelivered mail returned to sender"


def test_a_person_reads_what_happened_to_whom_and_what_the_other_server_said() -> None:
    said = text(read(report()))
    assert "Your message could not be delivered" in said
    assert "<bob@example.com>:" in said
    assert "    mail.example.com said:\r\n    > 550 5.1.1 <bob@example.com> no such user\r\n" in said
    assert "queue id was ABC" in said


def test_it_answers_the_message_and_says_which_it_was() -> None:
    """RFC 3834 section 3.1.6; the subject is quoted, as it is another's words."""
    given = b"Message-ID: <x.1@example.org>\r\nSubject: =?utf-8?q?Mittag_f=C3=BCr_zwei?=\r\nDate: today\r\n"
    message = read(report(about=about(original=given + ORIGINAL)))
    assert message["In-Reply-To"] == message["References"] == "<x.1@example.org>"
    said = "From the header of the message:\r\n    > Subject: Mittag für zwei\r\n    > Date: today\r\n"
    assert text(message).endswith(said)


@pytest.mark.parametrize("field", [b"", b"Message-ID: <x@y\r\n\t> x\r\n", b"Message-ID: none\r\n"])
def test_it_answers_nothing_that_has_no_message_id(field: bytes) -> None:
    message = read(report(about=about(original=field + b"To: x\r\n\r\nSubject: body\r\n")))
    assert message["In-Reply-To"] is None and message["References"] is None
    assert "From the header" not in text(message)


def test_the_part_for_programs() -> None:
    """BNC-7, BNC-8."""
    of = about(
        Envelope(parse("alice@example.org"), envid="QQ+2B314159"),
        received_from="client.example ([192.0.2.1])",
    )
    message = read(report([item(orcpt="rfc822;Bob+2Bx@example.com")], about=of))
    whole, one = blocks(message)
    assert dict(whole.items()) == {
        "Reporting-MTA": "dns; mx.example.net",
        "Original-Envelope-Id": "QQ+314159",
        "Received-From-MTA": "dns; client.example ([192.0.2.1])",
        "Arrival-Date": "Tue, 03 Mar 2026 09:12:40 +0000",
    }
    assert dict(one.items()) == {
        "Original-Recipient": "rfc822;Bob+x@example.com",
        "Final-Recipient": "rfc822;bob@example.com",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mail.example.com",
        "Diagnostic-Code": "smtp; 550 5.1.1 <bob@example.com> no such user",
        "Last-Attempt-Date": "Tue, 03 Mar 2026 09:12:44 +0000",
    }


def test_what_did_not_come_is_not_made_up() -> None:
    """BNC-7, BNC-8: no ENVID, no ORCPT, no remote MTA."""
    whole, one = blocks(read(report([item(remote_mta="", reply=Reply(550, "5.1.2", "no such domain"))])))
    assert whole.keys() == ["Reporting-MTA", "Arrival-Date"]
    assert "Original-Recipient" not in one
    assert "Remote-MTA" not in one
    assert one["Diagnostic-Code"] == "x-mether; 550 5.1.2 no such domain"


def test_all_failures_in_one_report() -> None:
    """BNC-3."""
    message = read(report([item(), item("Carol@example.com")]))
    assert [block["Final-Recipient"] for block in blocks(message)[1:]] == [
        "rfc822;bob@example.com",
        "rfc822;Carol@example.com",
    ]


def test_a_delay_is_a_warning_and_says_until_when() -> None:
    """BNC-6, BNC-8: Will-Retry-Until, and the header only."""
    busy = Reply(451, "4.3.0", "come back")
    message = read(report([item(action="delayed", reply=busy, will_retry_until=AT + 86400)]))
    assert message["Subject"] == "Mail delivery is delayed"
    assert "DO NOT NEED TO SEND" in text(message)
    assert "until 2026-03-04 09:12 +0000" in text(message)
    assert blocks(message)[1]["Will-Retry-Until"] == "Wed, 04 Mar 2026 09:12:44 +0000"
    assert message.get_payload(2).get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]


def test_will_retry_until_only_with_delayed() -> None:
    """BNC-8."""
    assert "Will-Retry-Until" not in blocks(read(report([item(will_retry_until=AT)])))[1]


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_a_report_of_success(action: str) -> None:
    """BNC-9."""
    message = read(report([item(action=action, reply=Reply(250, None, "ok"))]))
    assert message["Subject"] == "Mail delivery report"
    assert blocks(message)[1]["Action"] == action
    assert blocks(message)[1]["Status"] == "2.0.0"


def test_the_original_comes_back_whole() -> None:
    """BNC-6: none given, or RET=FULL."""
    for ret in (None, "FULL"):
        message = read(report(about=about(Envelope(None, ret=ret))))
        last = message.get_payload(2)
        assert last.get_content_type() == "message/rfc822"  # type: ignore[union-attr]
        assert last.get_payload(0)["Subject"] == "hi"  # type: ignore[union-attr,index]
        assert ORIGINAL in report()
        assert "in full" in text(message)


@pytest.mark.parametrize(
    "changes",
    [
        {"envelope": Envelope(None, ret="HDRS")},
        {"envelope": Envelope(None, requiretls=True)},
        {"envelope": Envelope(None, ret="FULL", requiretls=True)},
        {"complete": False},
        {"original": ORIGINAL + b"x" * 70 + b"\r\n" * returned.MAX_RETURNED},
        {"original": b"X: \xe9\r\n" + ORIGINAL},
        {"original": ORIGINAL + b"x" * 1000 + b"\r\n"},
        {"original": ORIGINAL + b"\0\r\n"},
    ],
    ids=["hdrs", "requiretls", "requiretls and full", "cut", "large", "8bit header", "long line", "nul"],
)
def test_only_the_header_comes_back(changes: dict[str, object]) -> None:
    """BNC-6."""
    content = report(about=about(**changes))  # type: ignore[arg-type]
    message = read(content)
    last = message.get_payload(2)
    assert last.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]
    assert b"Subject: hi" in content
    assert b"The body" not in content
    assert content.isascii()
    assert "header of the message" in text(message)


def test_eight_bits_come_back_and_seven_can_be_made_of_them() -> None:
    """BNC-6, 8BM-2: the report goes wherever a message goes."""
    head = b"Subject: hi\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    content = report(about=about(original=head + "\r\nSchöner Tag.\r\n".encode()))
    message = read(content)
    assert message["Content-Transfer-Encoding"] == "8bit"
    assert "Schöner Tag." in message.get_payload(2).get_payload(0).get_content()  # type: ignore[union-attr]
    seven = b"".join(convert.rewrite((content,), convert.plan((content,), "7bit")))
    assert seven.isascii()
    again = read(seven)
    assert again["Content-Transfer-Encoding"] == "7bit"
    assert "Schöner Tag." in again.get_payload(2).get_payload(0).get_content()  # type: ignore[union-attr]


def test_a_header_in_eight_bits_is_returned_in_quoted_printable() -> None:
    """BNC-6: RFC 6522 section 4."""
    original = "From: alice@example.org\r\nSubject: Grüße\r\n\r\nBody\r\n".encode()
    content = report(about=about(original=original))
    assert content.isascii()
    last = read(content).get_payload(2)
    assert last["Content-Transfer-Encoding"] == "quoted-printable"  # type: ignore[index]
    assert "Subject: Grüße".encode() in last.get_payload(decode=True)  # type: ignore[union-attr]


def test_a_header_without_end_is_cut_at_a_line() -> None:
    original = b"X: y\r\n" * 20000
    content = report(about=about(original=original, complete=False))
    assert len(content) < returned.MAX_HEADER + 4096
    read(content)


def test_addresses_outside_ascii() -> None:
    """BNC-8: RFC 6533 section 3, in seven bits."""
    content = report([item("jürgen@bücher.example", orcpt="utf-8;j\\x{FC}rgen@example.org")])
    assert content.isascii()
    message = read(content)
    one = blocks(message)[1]
    assert one["Final-Recipient"] == r"utf-8;j\x{FC}rgen@b\x{FC}cher.example"
    assert one["Original-Recipient"] == r"utf-8;j\x{FC}rgen@example.org"
    assert "<jürgen@bücher.example>" in text(message)


def test_a_sender_outside_ascii_gets_a_message_in_utf8() -> None:
    """EAI: RFC 6532, and the envelope says so."""
    to = parse("jürgen@example.org", utf8=True)
    assert "To: <jürgen@example.org>\r\n".encode() in report(to=to)
    envelope = dsn.envelope(to, Envelope(to))
    assert envelope.smtputf8
    assert envelope.body == "8BITMIME"


def test_a_postmaster_outside_ascii_signs_as_postmaster_where_utf8_may_not_go() -> None:
    """EAI: a report to a sender within ASCII asks for no SMTPUTF8."""
    postmaster = parse("büro@example.net", utf8=True)
    content = report(postmaster=postmaster)
    assert content.isascii()
    assert b"From: Mail Delivery System <postmaster@mx.example.net>\r\n" in content
    assert "<büro@example.net>".encode() in report(
        postmaster=postmaster, to=parse("jürgen@a.example", utf8=True)
    )


def test_the_envelope() -> None:
    """BNC-1."""
    alice = parse("alice@example.org")
    envelope = dsn.envelope(alice, Envelope(alice, ret="FULL", envid="x", smtputf8=True, body="8BITMIME"))
    assert envelope == Envelope(None, [Recipient(alice, notify="NEVER")])


def test_a_source_route_is_left_out() -> None:
    """BNC-1: RFC 5321 section 6.1."""
    to = parse("@relay.example,@hub.example:alice@example.org")
    assert str(dsn.envelope(to, Envelope(to)).recipients[0].forward_path) == "alice@example.org"
    assert b"\r\nTo: <alice@example.org>\r\n" in report(to=to)


def test_the_envelope_keeps_what_protects_and_ranks_the_message() -> None:
    """RFC 8689 section 5; EXT-3."""
    envelope = dsn.envelope(parse("alice@example.org"), Envelope(None, requiretls=True, priority=4))
    assert envelope.requiretls
    assert envelope.priority == 4


def test_a_boundary_that_occurs_is_not_used() -> None:
    original = ORIGINAL + b"--b1\r\n\r\n--b1x--\r\n"
    message = read(report(about=about(original=original)))
    assert message.get_boundary() not in ("b1", "b1x")


def test_the_postmaster_is_told_of_a_report_that_cannot_be_delivered() -> None:
    """BNC-2."""
    content = report(to=None, postmaster=Address("postmaster", ""), about=about(Envelope(None)))
    message = read(content)
    assert message["To"] == "postmaster@mx.example.net"
    assert message["Subject"] == "Postmaster notice: undeliverable report"
    assert "this comes to the postmaster" in " ".join(text(message).split())
    assert "550 5.1.1" in text(message)


def test_a_notice_is_known_again_on_its_way() -> None:
    """BNC-2: so that there is none about it, wherever it comes to nothing."""
    notice = report(to=None, about=about(Envelope(None)))
    assert dsn.is_notice(notice)
    assert dsn.is_notice(b"Return-Path: <>\r\nReceived: by somebody\r\n" + notice)
    for other in (report(), b"Subject: what is this?\r\n\r\n" + notice, b""):
        assert not dsn.is_notice(other)


@settings(max_examples=60)
@given(
    reply=st.text(max_size=1500),
    remote=st.text(max_size=300),
    orcpt=st.none() | st.text(min_size=1, max_size=300),
    envid=st.none() | st.text(max_size=300),
    original=st.binary(max_size=300).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b"\r\n")),
    action=st.sampled_from(["failed", "delayed", "delivered"]),
    hold=st.none() | st.text(max_size=50),
    client=st.text(max_size=50),
    smtputf8=st.booleans(),
)
@example("", "", None, None, b"\r\n\x80", "failed", None, "", False)
def test_whatever_others_said_the_report_can_be_read(
    reply: str,
    remote: str,
    orcpt: str | None,
    envid: str | None,
    original: bytes,
    action: str,
    hold: str | None,
    client: str,
    smtputf8: bool,
) -> None:
    """BNC-10: CR, LF and controls in quoted replies make no field and no part of their own."""
    content = report(
        [item(action=action, reply=Reply(550, None, reply), remote_mta=remote, orcpt=orcpt)],
        about=about(
            Envelope(None, envid=envid, hold=hold, smtputf8=smtputf8), original=original, received_from=client
        ),
    )
    message = read(content)
    assert content.isascii() or message["Content-Transfer-Encoding"] == "8bit"
    whole, one = blocks(message)
    assert set(whole.keys()) <= {
        "Reporting-MTA",
        "Original-Envelope-Id",
        "Received-From-MTA",
        "Arrival-Date",
        "Future-Release-Request",
    }
    assert len(one.keys()) == len(set(one.keys()))
    assert one["Action"] == action


def test_our_own_words_are_not_put_in_a_servers_mouth() -> None:
    """RFC 3464 section 2.3.6: a host that did not answer has said nothing."""
    refused = Reply(451, "4.4.1", "connecting to 192.0.2.1: Connection refused")
    outcome = Outcome(0, "failed", refused, remote_mta="mx.example.com", said=False, at=AT)
    read_back = read(report([dsn.Item(Recipient(parse("bob@example.com")), outcome)]))
    assert "said:" not in text(read_back)
    assert "    In technical words:\r\n    > 451 4.4.1 connecting" in text(read_back)
    assert "Remote-MTA" not in blocks(read_back)[1]
