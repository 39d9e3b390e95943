"""Reports as others read them: the standard library, flufl.bounce (Mailman's reader), and our own.

The samples, and whatever hypothesis makes of recipients, replies and messages.  Mail readers for people are
in tests/system/test_mail_readers.py.
"""

from __future__ import annotations

import email
import quopri
from email import policy
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_reports import ALICE, AT, BINARY, CASES, EIGHT_BIT, JURGEN, PLAIN, UTF8, made

from mether import xtext
from mether.address import Address, parse
from mether.content import bounce, lines, status
from mether.content.dsn import About, Item, report
from mether.content.returned import MAX_HEADER, MAX_RETURNED
from mether.content.words import MAX_LISTED
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome, mta_name
from mether.reply import Reply

REPORTS = Path(__file__).parent / "reports"
FILES = sorted(REPORTS.rglob("*.eml"))
FIELDS = (
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
    "Final-Log-ID",
    "Will-Retry-Until",
)
"""In the order of RFC 3464 section 2.3."""
MESSAGE_FIELDS = (
    "Reporting-MTA",
    "Original-Envelope-Id",
    "Received-From-MTA",
    "Arrival-Date",
    "Deliver-By-Date",
    "Future-Release-Request",
)


def parts(content: bytes) -> tuple[EmailMessage, list[Message]]:
    """The report and its three parts, without defects anywhere but in what was returned."""
    message: Any = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    three = message.get_payload()
    assert isinstance(three, list) and len(three) == 3
    for one in (message, *three):
        assert not one.defects, one.defects
        # It does not know addresses in UTF-8 (RFC 6532) from octets that are none.
        assert not [defect for value in one.values() if value.isascii() for defect in value.defects]
    kinds = [one.get_content_type() for one in three]
    assert kinds[0] == "text/plain"
    assert kinds[1] in ("message/delivery-status", "message/global-delivery-status")
    assert kinds[2] in ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers")
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"):
        assert len(message.get_all(name, [])) == 1, name
    return message, three


def blocks(part: Message) -> list[Any]:
    """The blocks of the part for programs."""
    if part.get_content_type() == "message/delivery-status":
        found: Any = part.get_payload()
        for one in found:
            assert not one.defects
        return found
    octets = part.as_bytes(policy=policy.SMTPUTF8).partition(b"\r\n\r\n")[2]
    if part["Content-Transfer-Encoding"] == "quoted-printable":
        octets = quopri.decodestring(octets)
    text = octets.decode()
    assert not text.isascii(), "the old type would have done (RFC 6533 section 4.4)"
    return [
        email.message_from_string(block.strip() + "\r\n\r\n", policy=policy.SMTPUTF8)
        for block in text.split("\r\n\r\n")
        if block.strip()
    ]


def hold(content: bytes, envelope: Envelope, items: list[Item]) -> None:
    """The report, read by the standard library, says of each recipient what became of him."""
    _, (people, programs, _) = parts(content)
    whole, *those = blocks(programs)
    assert set(whole.keys()) <= set(MESSAGE_FIELDS)
    assert whole["Reporting-MTA"] == "dns; mx.example.net"
    assert whole["Arrival-Date"].endswith(" +0000")
    assert ("Original-Envelope-Id" in whole) is (envelope.envid is not None)
    assert len(those) == len(items)
    told = people.get_content()  # type: ignore[attr-defined]
    for number, (block, item) in enumerate(zip(those, items, strict=True)):
        names = block.keys()
        assert names == [name for name in FIELDS if name in names], "each once, and in order"
        outcome, recipient = item.outcome, item.recipient
        kind, _, final = str(block["Final-Recipient"]).partition(";")
        assert kind == ("rfc822" if recipient.forward_path.is_ascii else "utf-8")
        assert xtext.decode_utf8_address(final) == str(recipient.forward_path)
        assert block["Action"] == outcome.action
        assert block["Status"] == status.status(outcome)
        assert ("Original-Recipient" in block) is (recipient.orcpt is not None)
        assert ("Remote-MTA" in block) is outcome.said is block["Diagnostic-Code"].startswith("smtp; ")
        assert ("Final-Log-ID" in block) is not outcome.said
        assert ("Will-Retry-Until" in block) is (outcome.action == "delayed")
        assert f"<{recipient.forward_path}>" in told or number >= MAX_LISTED


def read_by_flufl(content: bytes) -> tuple[set[str], set[str]]:
    """Whom Mailman would count as failed for now, and for good."""
    flufl = pytest.importorskip("flufl.bounce")
    later, gone = flufl.all_failures(email.message_from_bytes(content))
    return {one.decode() for one in later}, {one.decode() for one in gone}


def addressed(item: Item) -> str:
    """What the sender called the recipient."""
    return xtext.original(item.recipient.orcpt or "").partition(";")[2] or str(item.recipient.forward_path)


def read_by_us(content: bytes, envelope: Envelope, items: list[Item]) -> bounce.Bounce:
    """What our own reader finds."""
    found = bounce.read(content)
    assert found is not None
    assert found.reporting_mta == "mx.example.net"
    # RFC 3461 section 4.4: an envelope id is printable ASCII.
    assert found.envid == (
        "" if envelope.envid is None else lines.to_ascii(xtext.decode(envelope.envid)).strip()
    )
    assert len(found.recipients) == len(items)
    for one, item in zip(found.recipients, items, strict=True):
        assert (one.recipient, one.action) == (str(item.recipient.forward_path), item.outcome.action)
        own = status.status(item.outcome)
        # A status that says nothing is made better by the words.
        assert one.status == own or own.endswith(".0.0")
        assert one.remote == (mta_name(item.outcome.remote_mta) if item.outcome.said else "")
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_standard_library_reads_it(name: str) -> None:
    """BNC-4, BNC-5, BNC-7, BNC-8, BNC-9: a program finds each recipient with its action."""
    _, envelope, _, items = CASES[name]
    hold(made(name), envelope, items)


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("smtputf8")])
def test_a_bounce_reader_that_is_not_ours_reads_it(name: str) -> None:
    """BNC-8, BNC-9: flufl.bounce, which Mailman reads bounces with: whom to drop, and whom to wait for."""
    expected: dict[str, set[str]] = {"delayed": set(), "failed": set()}
    for one in CASES[name][3]:
        expected.get(one.outcome.action, set()).add(addressed(one))
    assert read_by_flufl(made(name)) == (expected["delayed"], expected["failed"])


@pytest.mark.parametrize("name", CASES)
def test_our_own_reader_reads_it(name: str) -> None:
    """BNC-8, BNC-9: each recipient, action and status, the envelope id, and which message it was."""
    _, envelope, original, items = CASES[name]
    found = read_by_us(made(name), envelope, items)
    assert found.message_id == ("1@example.org" if b"Message-ID" in original else "")


# Every file


def said(content: bytes) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The fields of a report of ours, of the message and of each recipient, read as plainly as can be."""
    body = content[content.index(b"delivery-status\r\n", content.index(b"\r\n\r\n")) :]
    head, _, body = body.partition(b"\r\n\r\n")
    body = body[: body.index(b"\r\n--")]
    if b"quoted-printable" in head:
        body = quopri.decodestring(body)
    groups = body.decode().replace("\r\n ", " ").strip().split("\r\n\r\n")
    whole, *those = [dict(line.split(": ", 1) for line in group.split("\r\n")) for group in groups]
    return whole, those


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REPORTS).as_posix())
def test_every_file_is_read_by_all(path: Path) -> None:
    """BNC-5, BNC-7, BNC-8, BNC-9: without defects, with the same recipients, actions and status, in whatever
    language people read it."""
    content = path.read_bytes().replace(b"\n", b"\r\n")
    whole, those = said(content)
    assert those
    _, (people, programs, last) = parts(content)
    assert [dict(block.items()) for block in blocks(programs)] == [whole, *those]
    told = people.get_content()  # type: ignore[attr-defined]
    found = bounce.read(content)
    assert found is not None
    assert found.envid == whole.get("Original-Envelope-Id", "")
    # Our own reader counts once who is named twice, be it in other letters.
    once = {(block["Final-Recipient"].lower(), block["Action"]): block for block in reversed(those)}
    unique = [block for block in those if block in once.values()]
    assert len(found.recipients) == len(unique)
    for one, block in zip(found.recipients, unique, strict=True):
        final = xtext.decode_utf8_address(block["Final-Recipient"].partition(";")[2])
        assert (one.recipient, one.action) == (final, block["Action"])
        assert one.status == block["Status"] or block["Status"].endswith(".0.0")
        assert f"<{final}>" in told
    expected: dict[str, set[str]] = {"delayed": set(), "failed": set()}
    for block in those:
        address = block.get("Original-Recipient", block["Final-Recipient"])
        expected.get(block["Action"], set()).add(address.partition(";")[2])
    if last.get_content_type() == "message/rfc822":
        original = last.get_payload(0)
        assert found.message_id == str(original["Message-ID"] or "").strip("<>")  # type: ignore[index]
    if programs.get_content_type() == "message/delivery-status" and all(
        address.isascii() and "\\" not in address for some in expected.values() for address in some
    ):
        assert read_by_flufl(content) == (expected["delayed"], expected["failed"])


# Whatever it is about

WORDS = st.text(max_size=200) | st.sampled_from(
    [
        "User unknown",
        "mailbox full\r\nStatus: 2.0.0\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822;eve@example.com",
        "x" * 70
        + " Action: delivered "
        + "y" * 70
        + " Status: 2.0.0 Final-Recipient: rfc822;eve@example.com",
        "--b0undary--",
        "no\n\n--b0undary\nContent-Type: text/html\n\n<script>",
        "\x1b]0;title\x07\x00\x7f\x85\u2028\u202eright to left",
        "\xe9\xff",
        "a" * 5000,
        "word " * 2000,
        "\ud800",
    ]
)
DOMAINS = st.sampled_from(
    ["example.com", "Example.ORG", "a.b.c.example", "bücher.example", "xn--bcher-kva.example"]
)
LOCALS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9+_.=-]{0,20}[A-Za-z0-9]", fullmatch=True).filter(
    lambda text: ".." not in text
) | st.sampled_from(["jürgen", "例", "o'hara", "a" * 64])
ADDRESSES = st.builds("{}@{}".format, LOCALS, DOMAINS).map(lambda text: parse(text, utf8=True))
ACTIONS = st.sampled_from(["failed", "delayed", "delivered", "relayed", "expanded"])
CODES = {"failed": [550, 554, 552, 421, 451, 599], "delayed": [450, 451, 421, 552]}


@st.composite
def some_items(draw: st.DrawFn) -> list[Item]:
    out = []
    for number, path in enumerate(
        draw(st.lists(ADDRESSES, min_size=1, max_size=4, unique_by=lambda a: str(a).lower()))
    ):
        action = draw(ACTIONS)
        code = draw(st.sampled_from(CODES.get(action, [250, 251])))
        own = draw(st.sampled_from([None, f"{code // 100}.1.1", f"{code // 100}.01.001", "9.9.9", "5.1.1 x"]))
        reply = Reply(code, own, *draw(st.lists(WORDS, min_size=1, max_size=4)))
        orcpt = None
        if draw(st.booleans()):
            orcpt = (
                f"rfc822;{xtext.encode(str(path))}"
                if path.is_ascii
                else f"utf-8;{xtext.encode_utf8_address(str(path))}"
            )
        outcome = Outcome(
            number,
            action,
            reply,
            remote_mta=draw(st.sampled_from(["", "mx.example.com[192.0.2.1]:25"])),
            said=draw(st.booleans()),
            at=AT,
        )
        out.append(Item(Recipient(path, orcpt=orcpt), outcome, will_retry_until=AT + 86400))
    return out


HEAD = PLAIN.partition(b"\r\n\r\n")[0]
ORIGINALS = {
    "plain": PLAIN,
    "utf-8": UTF8,
    "8-bit": EIGHT_BIT,
    "binary": BINARY,
    "undeclared": HEAD + b"\r\n\r\nUm zw\xf6lf?\r\n",
    "header only": HEAD + b"\r\n",
    "no end": HEAD,
    "header and empty line": HEAD + b"\r\n\r\n",
    "empty": b"",
    "nothing but lines": b"\r\n\r\n\r\n",
    "no header": b"\r\nbody\r\n",
    "bare CR": HEAD + b"\r\n\r\na\rb\r\n",
    "bare LF": HEAD.replace(b"\r\n", b"\n") + b"\n\nbody\n",
    "NUL": HEAD + b"\r\n\r\na\0b\r\n",
    "NUL in header": b"X: a\0b\r\n" + PLAIN,
    "long line": HEAD + b"\r\n\r\n" + b"x" * 50_000 + b"\r\n",
    "long line in header": b"X: " + b"x" * 50_000 + b"\r\n" + PLAIN,
    "longest line": HEAD + b"\r\n\r\n" + b"x" * 100_000 + b"\r\n",
    "large header": b"".join(b"X-%d: y\r\n" % number for number in range(9000)) + PLAIN,
    "large": PLAIN + b"line\r\n" * 20_000,
    "boundaries": PLAIN + b"--b0undary\r\n\r\n--b0undaryx--\r\n",
    "a report": made("failed"),
}
ENVELOPES = st.builds(
    Envelope,
    st.just(ALICE),
    ret=st.sampled_from([None, "FULL", "HDRS"]),
    envid=st.sampled_from([None, "QQ314159", "a+20+20b", "+C3+A4", "+0D+0AAction:+20delivered"]),
    smtputf8=st.booleans(),
    body=st.sampled_from(["7BIT", "8BITMIME", "BINARYMIME"]),
)


def written(to: Address | None, envelope: Envelope, original: bytes, items: list[Item]) -> bytes:
    content = report(
        reporting_mta="mx.example.net",
        ident="1H9F3QVK2A7C5",
        boundary="b0undary",
        to=to,
        postmaster=parse("postmaster@example.net"),
        at=AT,
        about=About(
            envelope,
            "1H9F3QVK2A7B0",
            arrival=AT - 4,
            original=original[: MAX_RETURNED + 300],
            complete=len(original) <= MAX_RETURNED + 300,
            received_from="[192.0.2.1] ([192.0.2.1])",
        ),
        items=items,
    )
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\0" not in content
    assert len(content) < 2 * MAX_RETURNED + 16384 * (1 + len(items))
    return content


@settings(max_examples=150, deadline=None)
@given(
    to=st.sampled_from([ALICE, JURGEN, None]),
    envelope=ENVELOPES,
    original=st.sampled_from(sorted(ORIGINALS)) | st.binary(max_size=300),
    items=some_items(),
)
def test_whatever_it_is_about(
    to: Address | None, envelope: Envelope, original: str | bytes, items: list[Item]
) -> None:
    """BNC-3 to BNC-10, EAI-9: hostile words and broken messages change nothing of what is read."""
    octets = ORIGINALS[original] if isinstance(original, str) else original
    content = written(to, envelope, octets, items)
    hold(content, envelope, items)
    read_by_us(content, envelope, items)
    # flufl.bounce knows ASCII alone, reads what stands behind a "=" as the value of a parameter, and
    # believes a report that came back, too.
    simple = original != "a report" and all(
        str(one.recipient.forward_path).isascii() and "=" not in addressed(one) for one in items
    )
    if simple and b"message/global-delivery-status" not in content:
        told: dict[str, set[str]] = {"delayed": set(), "failed": set()}
        for one in items:
            told.get(one.outcome.action, set()).add(str(one.recipient.forward_path))
        assert read_by_flufl(content) == (told["delayed"], told["failed"])


@pytest.mark.parametrize("smtputf8", [False, True])
@pytest.mark.parametrize("name", ORIGINALS)
def test_what_comes_back_of_a_message(name: str, smtputf8: bool) -> None:
    """BNC-6, EAI-9: all of it, or all of its header up to the limit; octet for octet."""
    octets = ORIGINALS[name]
    items = CASES["failed"][3]
    envelope = Envelope(ALICE, smtputf8=smtputf8)
    content = written(ALICE, envelope, octets, items)
    _, (_, _, last) = parts(content)
    kind = last.get_content_type()
    raw = content.rpartition(b"\r\n--" + email.message_from_bytes(content).get_boundary("").encode() + b"--")[
        0
    ]
    raw = (
        raw[raw.index(b"\r\n\r\n", raw.rindex(f"Content-Type: {kind}".encode())) + 4 :]
        if kind != "message/rfc822"
        else raw
    )
    encoding = last["Content-Transfer-Encoding"] or "7bit"
    if kind == "message/rfc822":
        assert raw.endswith(octets)
    elif kind == "message/global":
        import base64

        assert base64.b64decode(raw) == octets
    else:
        got = quopri.decodestring(raw) if encoding == "quoted-printable" else raw
        end = octets.find(b"\r\n\r\n")
        header = octets[: end + 2] if end >= 0 else octets
        assert len(got) <= MAX_HEADER + 2
        normal = header.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip(b"\n")
        assert normal.startswith(got.replace(b"\r\n", b"\n").strip(b"\n"))
        if len(header) <= MAX_HEADER:
            assert got.replace(b"\r\n", b"\n").strip(b"\n") == normal
    small = len(octets) <= MAX_RETURNED
    if name in (
        "plain",
        "8-bit",
        "undeclared",
        "header and empty line",
        "boundaries",
        "a report",
        "no header",
    ):
        assert kind == "message/rfc822"
    elif smtputf8 and small:
        assert kind in ("message/global", "message/rfc822")


@pytest.mark.parametrize("action", ["failed", "delayed"])
def test_a_reply_of_megabytes_is_cut(action: str) -> None:
    """BNC-10."""
    reply = Reply(550, None, *["go away " * 1000] * 300)
    outcome = Outcome(0, action, reply, remote_mta="mx.example.com")  # type: ignore[arg-type]
    items = [Item(Recipient(parse("bob@example.com")), outcome, will_retry_until=AT)]
    content = written(ALICE, Envelope(ALICE), PLAIN, items)
    assert len(content) < 8192
    hold(content, Envelope(ALICE), items)


def test_a_thousand_recipients_are_in_one_report() -> None:
    """BNC-3."""
    items = [
        Item(
            Recipient(parse(f"user{number}@example.com")),
            Outcome(number, "failed", Reply(550, "5.1.1", "no"), remote_mta="mx"),
        )
        for number in range(1000)
    ]
    content = written(ALICE, Envelope(ALICE), PLAIN, items)
    hold(content, Envelope(ALICE), items)
    assert len(read_by_flufl(content)[1]) == 1000
    read_by_us(content, Envelope(ALICE), items)
