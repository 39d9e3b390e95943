"""Bounces read back: those of the corpora where they lie beside us, forms of many mailers, and our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mether.content import bounce
from mether.content.bounce import Bounce
from mether.content.classify import KINDS

HERE = Path(__file__).resolve().parent
CORPORA = HERE.parents[2] / "shared" / "testdata" / "bounces"
REPORTS = sorted((HERE / "reports").glob("*.eml"))


def read(text: str, recipient: str = "") -> Bounce:
    found = bounce.read(text.encode(), recipient)
    assert found is not None
    return found


def summary(found: Bounce) -> list[tuple[str, str, str, str]]:
    return [(one.recipient, one.action, one.status, str(one.kind)) for one in found.recipients]


# The corpora


def wanted() -> dict[str, dict[str, set[str]] | None]:
    """Which recipients with which classes each message of the corpora is about; None: it is no report."""
    out: dict[str, dict[str, set[str]] | None] = {}
    for line in (HERE / "bounces" / "expected.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, said = line.split("\t")
            rows = [] if said == "-" else [row.split(": ") for row in said.split("; ")]
            out[name] = {address: set(kinds.split("|")) for address, kinds in rows} if rows else None
    return out


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora of bounces are not beside the project")
def test_the_corpora() -> None:
    """Recipient and class are right for 95 % of the bounces, and nothing else is taken for one."""
    count = right = 0
    wrong: list[str] = []
    for name, rows in wanted().items():
        found = bounce.read((CORPORA / name).read_bytes())
        if rows is None:
            assert found is None, name
            continue
        if "?" in rows:
            continue
        count += 1
        got = {one.recipient.lower(): str(one.kind) for one in found.recipients} if found else {}
        good = got.keys() == rows.keys() and all(
            "*" in kinds or got[address] in kinds for address, kinds in rows.items()
        )
        right += good
        if not good:
            wrong.append(f"{name}: {got}, expected {rows}")
    assert count > 400
    assert right >= 0.95 * count, "\n".join(wrong)


# Our own


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_our_own_reports_are_read(path: Path) -> None:
    """BNC-10, DSN-1: every recipient, action and status of ours is understood again."""
    data = path.read_bytes()
    found = bounce.read(data)
    assert found is not None
    assert all(one.recipient.count("@") >= 1 and one.status for one in found.recipients)
    text = data.decode("utf-8", "replace")
    actions = [line[8:] for line in text.splitlines() if line.startswith("Action: ")]
    assert [one.action for one in found.recipients] == actions
    assert found.reporting_mta
    for one in found.recipients:
        assert (one.action in ("delivered", "relayed", "expanded")) or one.kind in KINDS


# Forms for people, each as its mailer writes it


QMAIL = """\
Return-Path: <>
From: MAILER-DAEMON@mail.example.org
To: ann@example.org
Subject: failure notice

Hi. This is the qmail-send program at mail.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<bob@example.net>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 <bob@example.net>... User unknown
Giving up on 192.0.2.1.

<eve@example.com>:
Sorry, I couldn't find any host named example.com. (#5.1.2)

--- Below this line is a copy of the message.

Return-Path: <ann@example.org>
Message-ID: <1@example.org>
To: bob@example.net, eve@example.com
"""

FORMS = {
    "qmail": (
        QMAIL,
        [
            ("bob@example.net", "failed", "5.1.1", "no such user"),
            ("eve@example.com", "failed", "5.1.2", "dns"),
        ],
        "1@example.org",
    ),
    "postfix": (
        """\
From: MAILER-DAEMON@mail.example.org (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/mixed; boundary="x"

This is a MIME-encapsulated message.

--x
Content-Type: text/plain

I'm sorry to have to inform you that the message returned
below could not be delivered to one or more destinations.

<bob@example.net> (expanded from <list@example.org>): host mx.example.net[192.0.2.1]
    said: 552 5.2.2 Mailbox is full (in reply to RCPT TO command)

--x
Content-Type: message/rfc822

Message-ID: <2@example.org>

Hello
--x--
""",
        [("bob@example.net", "failed", "5.2.2", "mailbox full")],
        "2@example.org",
    ),
    "exim": (
        """\
X-Failed-Recipients: bob@example.net
From: Mail Delivery System <Mailer-Daemon@mail.example.org>
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  bob@example.net
    SMTP error from remote mail server after RCPT TO:<bob@example.net>:
    host mx.example.net [192.0.2.1]: 550 5.7.1 relaying denied

------ This is a copy of the message, including all the headers. ------

Return-path: <ann@example.org>
Message-Id: <3@example.org>
""",
        [("bob@example.net", "failed", "5.7.1", "policy")],
        "3@example.org",
    ),
    "exim, delayed": (
        """\
From: Mail Delivery System <Mailer-Daemon@mail.example.org>
Subject: Warning: message 1abcde-000001-AB delayed 24 hours

A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mail.example.org.

The address to which the message has not yet been delivered is:

  bob@example.net
    host mx.example.net [192.0.2.1]: Connection timed out

No action is required on your part. Delivery attempts will continue for
some time.
""",
        [("bob@example.net", "delayed", "4.4.2", "connection")],
        "",
    ),
    "sendmail": (
        """\
From: Mail Delivery Subsystem <MAILER-DAEMON@mail.example.org>
Subject: Returned mail: User unknown

   ----- The following addresses had permanent fatal errors -----
<bob@example.net>

   ----- Transcript of session follows -----
... while talking to mx.example.net.:
>>> RCPT To:<bob@example.net>
<<< 550 5.1.1 bob... User unknown
550 <bob@example.net>... User unknown

   ----- Original message follows -----

Received: from localhost by mail.example.org
Message-Id: <4@example.org>
""",
        [("bob@example.net", "failed", "5.1.1", "no such user")],
        "4@example.org",
    ),
    "a label": (
        """\
From: "Postmaster" <postmaster@mail.example.org>
Subject: Undeliverable Mail
X-Mailer: <SMTP32 v8.05>

Failed Recipient: bob@example.net
Reason: Remote host said: 550 unknown user <bob@example.net>

   -- The header and top 20 lines of the message follows --

Message-ID: <5@example.org>
""",
        [("bob@example.net", "failed", "5.1.1", "no such user")],
        "5@example.org",
    ),
    "Exchange 5.5": (
        """\
From: System Administrator <postmaster@mail.example.org>
Subject: Undeliverable: hello
X-Mailer: Internet Mail Service (5.5.2653.19)

Your message

  To:      bob@example.org
  Subject: hello

did not reach the following recipient(s):

bob@example.net on Fri, 18 Oct 2002 09:13:24 -0600
    The recipient name is not recognized
""",
        [("bob@example.net", "failed", "5.1.1", "no such user")],
        "",
    ),
    "a sentence": (
        """\
From: MAILER-DAEMON <>
Subject: Mail delivery failed

This is the DragonFly Mail Agent v0.13 at mail.example.org.

There was an error delivering your mail to <bob@example.net>.

Could not deliver for the last 432000 seconds. Giving up.

Message headers follow.

Received: from ann (uid 1001)
Message-Id: <6@mail.example.org>
""",
        [("bob@example.net", "failed", "5.4.7", "connection")],
        "6@mail.example.org",
    ),
    "Japanese": (
        """\
From: postmaster@mail.example.org
Subject: Undeliverable message
Content-Type: text/plain; charset=UTF-8

------- Failure Reasons  --------

ディレクトリのリストにありません
bob@example.net

------- Returned Message --------
Received: from mail.example.org
Message-ID: <7@example.org>
""",
        [("bob@example.net", "failed", "5.1.1", "no such user")],
        "7@example.org",
    ),
    "fields in the text": (
        """\
From: MAILER-DAEMON@mail.example.org
Subject: Delayed Mail (still being retried)

Your message could not be delivered for more than 2 hour(s).

Reporting-MTA: dns; mail.example.org

Final-Recipient: rfc822; bob@example.net
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to
    mx.example.net[192.0.2.1]:25: No route to host
""",
        [("bob@example.net", "delayed", "4.4.1", "connection")],
        "",
    ),
    "Dovecot": (
        """\
From: Mail Delivery Subsystem <postmaster@mail.example.org>
Subject: Rejected: hello
Auto-Submitted: auto-replied (rejected)
Content-Type: multipart/report; report-type=disposition-notification; boundary="x"

--x
Content-Type: text/plain

Your message to <bob@example.net> was automatically rejected:
Quota exceeded
--x
Content-Type: message/disposition-notification

Reporting-UA: mail.example.org; Dovecot Mail Delivery Agent
Final-Recipient: rfc822; bob@example.net
Original-Message-ID: <8@example.org>
Disposition: automatic-action/MDN-sent-automatically; deleted
--x--
""",
        [("bob@example.net", "failed", "5.2.2", "mailbox full")],
        "8@example.org",
    ),
    "a bounce in a bounce": (
        """\
From: Mail Delivery Subsystem <MAILER-DAEMON@filter.example.org>
Subject: Returned mail: User unknown
Content-Type: multipart/mixed; boundary="y"

--y

----- The following addresses had permanent delivery errors -----

--y
Content-Type: message/rfc822

"""
        + QMAIL
        + "--y--\n",
        [
            ("bob@example.net", "failed", "5.1.1", "no such user"),
            ("eve@example.com", "failed", "5.1.2", "dns"),
        ],
        "1@example.org",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form(name: str) -> None:
    text, rows, message_id = FORMS[name]
    found = read(text)
    assert summary(found) == rows
    assert found.message_id == message_id


@pytest.mark.parametrize("name", ["qmail", "exim", "Dovecot"])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_do_not_matter(name: str, end: str) -> None:
    text, rows, message_id = FORMS[name]
    found = read(text.replace("\n", end))
    assert summary(found) == rows
    assert found.message_id == message_id


def test_a_status_report_tells_all_it_knows() -> None:
    """RFC 3464 section 2, and section 6's kinds of address."""
    found = read(
        """\
From: postmaster@mail.example.org
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x

Nothing.
--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.org
Original-Envelope-Id: QQ314159

Original-Recipient: rfc822;list@example.org
Final-Recipient: rfc822;<bob@example.net>
Action: failed
Status: 5.0.0 (permanent failure)
Remote-MTA: dns; mx.example.net (192.0.2.1)
Diagnostic-Code: smtp; 554 5.7.1
 Service unavailable; client host blocked using zen.spamhaus.org

Final-Recipient: x400; /S=eve/
Original-Recipient: rfc822;eve@example.com
Action: relayed
Status: 2.1.9
--x
Content-Type: text/rfc822-headers

Message-ID: <9@example.org>
--x--
"""
    )
    assert summary(found) == [
        ("bob@example.net", "failed", "5.7.1", "reputation"),
        ("eve@example.com", "relayed", "2.1.9", "other"),
    ]
    one = found.recipients[0]
    assert (one.original, one.remote) == ("list@example.org", "mx.example.net")
    assert one.diagnostic == "554 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org"
    assert (found.envid, found.reporting_mta, found.message_id) == (
        "QQ314159",
        "mail.example.org",
        "9@example.org",
    )


VAGUE = """\
Return-Path: <>
From: MAILER-DAEMON@mail.example.net
To: <ann+0D5K3H7M2Q9XA=bob=example.net@example.org>
Subject: failure notice

Sorry, it could not be delivered.
"""


def test_verp_names_the_message_and_a_recipient_that_the_report_does_not() -> None:
    found = read(VAGUE)
    assert found.queue_id == "0D5K3H7M2Q9XA"
    assert [one.recipient for one in found.recipients] == ["bob@example.net"]
    given = read(QMAIL, "ann+1D5K3H7M2Q9XA=@example.org")
    assert given.queue_id == "1D5K3H7M2Q9XA"


# What is none


NONE = {
    "a message": "From: ann@example.org\nSubject: hello\n\nbob@example.net says hello\n",
    "nothing": "",
    "away": (
        "Return-Path: <>\nFrom: ann@example.org\nSubject: Out of office: hello\n"
        "Auto-Submitted: auto-replied\n\n"
        "I am away. Write to eve@example.org.\n"
    ),
    "about a bounce": (
        "From: ann@example.org\nSubject: Re: failure notice\n\nI got this:\n> <bob@example.net>:\n"
        "> Remote host said: 550 5.1.1 User unknown\nWhat is wrong?\n"
    ),
    "with a bounce": (
        "From: ann@example.org\nSubject: see below\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n"
        "What is this?\n--x\nContent-Type: message/rfc822\n\n" + QMAIL + "\n--x--\n"
    ),
    "a complaint": (
        "From: feedback@example.net\nSubject: Fw: hello\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=x\n\n"
        "--x\n\nA complaint.\n--x\n"
        "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: bob@example.net\n"
        "\n--x--\n"
    ),
    "a receipt": (
        "From: bob@example.net\nSubject: Read: hello\n"
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=x\n\n"
        "--x\n\nI read it.\n"
        "--x\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; bob@example.net\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\n\n--x--\n"
    ),
    "a parcel": (
        "From: Parcels <news@shop.example>\nSubject: Your delivery status\n\n"
        "Your parcel is on its way. Questions? help@shop.example\n"
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_report(name: str) -> None:
    assert bounce.read(NONE[name].encode()) is None


# What is hostile


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [line for text, _, _ in FORMS.values() for line in text.split("\n")]
            + ["{", '"', "<", "@", "=?utf-8?q?=FF?=", "\x1b$B", "Content-Type: multipart/mixed; boundary=x"]
        )
        | st.text(max_size=40),
        max_size=40,
    ).map("\n".join),
    st.text(max_size=20),
)
@example("Content-Type: text/plain; charset=idna\n\n\udcff", "")
@example("Content-Type: text/plain; charset=zlib\n\nx", "")
def test_nothing_is_too_odd(text: str, recipient: str) -> None:
    found = bounce.read(text.encode("utf-8", "surrogateescape"), recipient)
    if found is not None:
        assert found.recipients
        for one in found.recipients:
            assert "@" in one.recipient and one.recipient.isprintable()
            assert one.diagnostic.isprintable()
            assert one.kind in KINDS


def test_it_is_bounded() -> None:
    """A million recipients, and parts within parts, are looked at as far as the limits say."""
    many = "From: MAILER-DAEMON@x.example\nSubject: failure notice\n\nNot delivered:\n" + "".join(
        f"<a{number}@example.net>:\nno\n\n" for number in range(100_000)
    )
    assert len(read(many).recipients) <= 1000
    deep = "Content-Type: multipart/mixed; boundary=x\n\n--x\n" * 20_000
    assert bounce.read(deep.encode()) is None
