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


ONE = {
    "sdm": (
        "here is your list of failed recipients -\n"
        "\n"
        "<bob@example.net>\n"
        " 550 user unknown\n"
        "\n"
        "Here is your returned mail:\n"
    ),
    "usa": (
        "Your message could not be delivered.\n"
        "\n"
        "Reason: user quota\n"
        "Intended recipient:  <bob@example.net>\n"
        "\n"
        "--------RETURNED MAIL FOLLOWS--------\n"
    ),
    "becauseof": (
        "Your message\n"
        "\n"
        "  Subject: hi\n"
        "\n"
        "was not delivered to:\n"
        "\n"
        "  bob@example.net\n"
        "\n"
        "because:\n"
        "\n"
        "  User bob (bob@example.net) not listed in public Name & Address Book\n"
    ),
    "lsmtp": (
        "--> Error description:\n"
        "Error-For:  bob@example.net\n"
        "Error-Code: 3\n"
        "Error-Text: Unknown local user\n"
        "Error-End: One error reported.\n"
    ),
    "ieo": (
        "Hello, this is the email server at mail.example.it.\n"
        "\n"
        "I am writing to inform you that the message you sent to bob@example.net, was not delivered.\n"
        "550 unknown\n"
    ),
    "fastdns": (
        "The following recipient(s) could not be reached:\n"
        "\n"
        "bob@example.net\n"
        "  Error Type: SMTP\n"
        "  Error Description: 550 user unknown\n"
    ),
    "mailenable": (
        "Message could not be delivered to some recipients.\n"
        "The following recipient(s) could not be reached:\n"
        "\n"
        "\tRecipient: [SMTP:bob@example.net]\n"
        "\tReason: Remote SMTP Server Returned: 550 user unknown\n"
        "\n"
        "Message headers follow:\n"
    ),
    "netscape": (
        "This Message was undeliverable due to the following reason:\n"
        "\n"
        "The user(s) account is temporarily over quota.\n"
        "\n"
        "<bob@example.net>\n"
        "\n"
        "Please reply to <postmaster@example.net>\n"
        "if you feel this message to be in error.\n"
    ),
    "office365": (
        "Delivery has failed to these recipients or groups:\n"
        "\n"
        "Bob (bob@example.net)<mailto:bob@example.net>\n"
        "The email address you entered couldn't be found. Please check the recipient's email address and"
        " try to resend the message.\n"
        "\n"
        "Diagnostic information for administrators:\n"
        "\n"
        "Generating server: X.example.com\n"
        "\n"
        "bob@example.net\n"
        "Remote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob@example.net"
        " not found by SMTP address lookup'\n"
        "\n"
        "Original message headers:\n"
        "\n"
        "Received: from x\n"
    ),
    "o365b": (
        "Your message to bob@example.net couldn't be delivered.\n"
        "\n"
        "bob wasn't found at example.net.\n"
        "\n"
        "ann\tOffice 365\tbob\n"
        "Action Required\t\tRecipient\n"
        "Unknown To address\n"
        "\n"
        "Reporting server:\tx\n"
        "Remote server returned '550 5.1.1 not found'\n"
    ),
    "gmailnew": (
        "** Address not found **\n"
        "\n"
        "Your message wasn't delivered to bob@example.net because the address couldn't be found, or is"
        " unable to receive mail.\n"
        "\n"
        "The response from the remote server was:\n"
        "550 5.1.1 user unknown\n"
    ),
    "german": (
        "Ihre Nachricht konnte nicht zugestellt werden.\n"
        "\n"
        "Empfänger: bob@example.net\n"
        "Grund: Unbekannter Empfänger\n"
    ),
    "french": (
        "Votre message n'a pas pu être remis au destinataire suivant :\n"
        "\n"
        "  bob@example.net\n"
        "\n"
        "Motif : utilisateur inconnu\n"
    ),
    "spanish": (
        "No se pudo entregar el mensaje a los siguientes destinatarios:\n"
        "\n"
        "  bob@example.net\n"
        "\n"
        "El buzón está lleno\n"
    ),
    "courier": (
        "This is a delivery status notification from mail.example.org,\n"
        "running the Courier mail server, version 0.65.2.\n"
        "\n"
        "The original message was received on Sat, 11 Dec 2010 12:19:57 +0900\n"
        "from [127.0.0.1] (c10920.example.com [192.0.2.20])\n"
        "\n"
        "---------------------------------------------------------------------------\n"
        "\n"
        "                           UNDELIVERABLE MAIL\n"
        "\n"
        "Your message to the following recipients cannot be delivered:\n"
        "\n"
        "<bob@example.net>:\n"
        "    mx.example.co.jp [74.207.247.95]:\n"
        ">>> RCPT TO:<bob@example.net>\n"
        "<<< 550 5.1.1 <bob@example.net>... User Unknown\n"
        "\n"
        "---------------------------------------------------------------------------\n"
    ),
    "surfcontrol": (
        "Your message could not be sent.\n"
        "A transcript of the attempts to send the message follows.\n"
        "The number of attempts made: 1\n"
        "Addressed To: bob@example.net\n"
        "\n"
        "Thu 29 Apr 2010 23:34:45 +0900\n"
        "Failed to send to identified host,\n"
        "bob@example.net: [192.0.2.1], 550 bob@example.net... No such user\n"
        "--- Message non-deliverable.\n"
    ),
    "mfilter": (
        "このメールは、システムが自動的に生成したものです。\n"
        "以下のエラーのため、配信できませんでした。\n"
        "\n"
        "-------server message\n"
        "550 unknown user <bob@example.net>\n"
        "\n"
        "-------original message\n"
    ),
    "chinese": (
        "抱歉，您的邮件被退回来了……\n收件人邮件地址： bob@example.net\n退信原因： 收件人邮箱地址不存在\n"
    ),
}
"""Notices of more mailers, each about bob@example.net."""


@pytest.mark.parametrize("name", ONE)
def test_one_more_form(name: str) -> None:
    found = read(
        f"From: postmaster@mail.example.org\nTo: ann@example.org\nSubject: Returned mail\n\n{ONE[name]}"
    )
    assert [one.recipient for one in found.recipients] == ["bob@example.net"]
    assert found.recipients[0].kind != "other" or name == "ieo"


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


def test_the_message_is_known_though_its_part_has_no_header_of_its_own() -> None:
    found = read(
        "From: MAILER-DAEMON@mail.example.org\nSubject: Returned mail\n"
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n"
        "---The following addresses had delivery errors---\n\nbob@example.net [User unknown]\n\n--x\n"
        "Received: from localhost by mail.example.org\nMessage-Id: <1@example.org>\n"
        "From: ann@example.org\n\nhello\n--x--\n"
    )
    assert summary(found) == [("bob@example.net", "failed", "5.1.1", "no such user")]
    assert found.message_id == "1@example.org"


def test_the_message_is_known_though_a_boundary_is_wrong() -> None:
    found = read(
        "From: MAILER-DAEMON@mail.example.org\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n"
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns;mail.example.org\n\n"
        "Final-Recipient: rfc822;bob@example.net\nAction: failed\nStatus: 5.1.1\n\n--y\n"
        "Content-Type: text/rfc822-headers\n\nMessage-Id: <1@example.org>\n--y--\n"
    )
    assert found.message_id == "1@example.org"


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
    "a warning of a mailbox": (
        "From: Postmaster <postmaster@example.org>\n"
        "To: ann@example.org\n"
        "Subject: Mailbox quota warning\n"
        "\n"
        "Your mailbox ann@example.org is 90% full. Write to helpdesk@example.org.\n"
    ),
    "said on a list": (
        "From: Bob <notifications@github.com>\n"
        "To: a/b <b@noreply.github.com>\n"
        "Subject: [a/b] Delivery failure when sending mail (Issue #12)\n"
        "List-ID: a/b <b.a.github.com>\n"
        "\n"
        "The message could not be delivered to <bob@example.net>: 550 unknown user\n"
    ),
    "a parcel not delivered": (
        "From: DHL <noreply@dhl.example>\n"
        "To: ann@example.org\n"
        "Subject: Delivery notification\n"
        "\n"
        "Your parcel could not be delivered to ann@example.org. Contact service@dhl.example\n"
    ),
    "on vacation": (
        "Return-Path: <>\n"
        "From: bob@example.net\n"
        "To: ann@example.org\n"
        "Subject: Re: hello\n"
        "Auto-Submitted: auto-replied\n"
        "\n"
        "I am on vacation and cannot be reached. Write to eve@example.net.\n"
    ),
    "no longer with us": (
        "Return-Path: <>\n"
        "From: bob@example.net\n"
        "To: ann@example.org\n"
        "Subject: Bob is no longer with us\n"
        "Auto-Submitted: auto-replied\n"
        "\n"
        "This mailbox is no longer monitored. Please write to eve@example.net instead.\n"
    ),
    "a challenge": (
        "Return-Path: <>\n"
        "From: bob@example.net\n"
        "To: ann@example.org\n"
        "Subject: Please confirm your message\n"
        "\n"
        "Your message has not been delivered yet. Reply to bob-confirm@example.net to deliver it.\n"
    ),
    "what cron says": (
        "From: root@example.org (Cron Daemon)\n"
        "To: root@example.org\n"
        "Subject: Cron <root@host> /usr/bin/backup\n"
        "Auto-Submitted: auto-generated\n"
        "\n"
        "backup failed: connection to bob@example.net refused\n"
    ),
    "a virus removed": (
        "From: postmaster@example.org\n"
        "To: ann@example.org\n"
        "Subject: Virus found\n"
        "\n"
        "A message from eve@example.net to you contained a virus and was removed.\n"
    ),
    "a report sent on": (
        "From: ann@example.org\n"
        "Subject: Fwd: Undelivered Mail Returned to Sender\n"
        "Content-Type: multipart/mixed; boundary=x\n"
        "\n"
        "--x\n"
        "\n"
        "see\n"
        "--x\n"
        "Content-Type: message/rfc822\n"
        "\n"
        "From: MAILER-DAEMON@x\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=y\n"
        "\n"
        "--y\n"
        "Content-Type: message/delivery-status\n"
        "\n"
        "Reporting-MTA: dns;x\n"
        "\n"
        "Final-Recipient: rfc822;bob@example.net\n"
        "Action: failed\n"
        "Status: 5.1.1\n"
        "--y--\n"
        "--x--\n"
    ),
    "a list that had bounces": (
        "From: mailman@example.org\n"
        "To: ann@example.org\n"
        "Subject: Bounce action notification\n"
        "\n"
        "This is a Mailman mailing list bounce action notice:\n"
        "  List: x\n"
        "  Member: bob@example.net\n"
        "  Action: Subscription disabled.\n"
        "  Reason: Excessive or fatal bounces.\n"
    ),
    "a parcel": (
        "From: Parcels <news@shop.example>\nSubject: Your delivery status\n\n"
        "Your parcel is on its way. Questions? help@shop.example\n"
    ),
}


NOTICES = sorted((HERE / "bounces" / "notices").glob("*.txt"))
OTHERS = sorted((HERE / "bounces" / "none").glob("*.eml"))
SENDERS = [
    ("MAILER-DAEMON@mail.example.org", "Returned mail"),
    ("", "Delivery report"),
    ("postmaster@mail.example.org", "failure notice"),
    ("Symantec_AntiVirus_for_SMTP_Gateways@mail.example.org", "Delivery problem"),
]


@pytest.mark.parametrize("path", NOTICES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("sender", "subject"), SENDERS)
def test_a_notice_of_any_mailer(path: Path, sender: str, subject: str) -> None:
    """The forms that flufl.bounce knows by their words, whoever signs them; w- are warnings."""
    head = f"Return-Path: <>\nFrom: {sender}\nTo: ann@example.org\nSubject: {subject}\n\n"
    found = read(head + path.read_text(encoding="utf-8"))
    assert [one.recipient for one in found.recipients] == ["bob@example.net"]
    assert found.recipients[0].action == ("delayed" if path.stem.startswith("w-") else "failed")


@pytest.mark.parametrize(
    "path", sorted((HERE / "bounces" / "languages").glob("*.eml")), ids=lambda path: path.stem
)
def test_a_notice_in_any_language(path: Path) -> None:
    found = bounce.read(path.read_bytes())
    assert found is not None
    assert [(one.recipient, one.kind) for one in found.recipients] == [("bob@example.net", "no such user")]


def test_what_a_list_refuses() -> None:
    """As fml says it."""
    found = read(
        "From: cats-admin@example.org\nTo: ann@example.org\nX-MLServer: fml\n"
        "Subject: You ann@example.org are not member (cats ML)\n\n"
        "You are not a member of this mailing list <cats@example.org>.\nguide\n"
    )
    assert summary(found) == [("cats@example.org", "failed", "5.7.1", "policy")]


def test_a_category_of_powermta() -> None:
    found = read(
        "From: MAILER-DAEMON@x.example\nContent-Type: message/delivery-status\n\n"
        "Reporting-MTA: dns;x.example\n\nFinal-Recipient: rfc822;bob@example.net\nAction: failed\n"
        "Status: 5.0.0\nX-PowerMTA-BounceCategory: bad-mailbox\n"
    )
    assert summary(found) == [("bob@example.net", "failed", "5.1.1", "no such user")]


def test_users_without_a_domain_are_at_that_of_the_reporter() -> None:
    found = read(
        "From: MAILER-DAEMON@mail.example.org\nTo: ann@example.org\nSubject: Returned mail\n\n"
        "Message not delivered to the following:\n\n    bob    No matches to query\n\n-- Error Detail --\n"
    )
    assert [one.recipient for one in found.recipients] == ["bob@mail.example.org"]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_what_is_like_a_report_and_none(path: Path) -> None:
    assert bounce.read(path.read_bytes()) is None


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
