"""Reports to one reader in one message."""

from __future__ import annotations

import email
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from flufl.bounce import all_failures  # type: ignore[import-untyped]

from mether.content import dsn, merged, words_texts
from mether.content.words_texts import Texts

AT = 1_772_529_164.0
GOLDEN = Path(__file__).parent / "reports"


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")


def merge(
    *reports: bytes, boundary: str = "c0ffee", texts: Texts | None = None
) -> tuple[bytes, EmailMessage]:
    content = merged.merge(
        reports,
        hostname="mx.example.net",
        postmaster="postmaster@example.net",
        ident="1H9F3QVK2A7C5",
        boundary=boundary,
        at=AT,
        texts=texts,
    )
    message = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return content, message


def digest(message: EmailMessage) -> list[EmailMessage]:
    """The reports that are in it."""
    text, reports = message.iter_parts()
    assert (text.get_content_type(), reports.get_content_type()) == ("text/plain", "multipart/digest")
    assert isinstance(reports, EmailMessage)
    found = []
    for part in reports.iter_parts():
        assert part.get_content_maintype() == "message"
        found.append(part.get_content())
    return found


def test_it_is_from_and_to_whom_each_was() -> None:
    """BNC-4."""
    _, message = merge(golden("failed"), golden("delayed"))
    [first, _] = digest(message)
    assert message["From"] == first["From"]
    assert message["To"] == first["To"]
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Subject"] == "2 delivery reports"
    assert message["Message-ID"] == "<1H9F3QVK2A7C5.2@mx.example.net>"
    assert message["Date"] == "Tue, 03 Mar 2026 09:12:44 +0000"
    for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"):
        assert len(message.get_all(name) or ()) == 1


def test_with_a_notice_in_it_it_is_one() -> None:
    """BNC-2: nobody is told of it when it comes to nothing."""
    content, _ = merge(golden("failed"), golden("notice"))
    assert dsn.is_notice(content)


def test_every_report_is_in_it_whole() -> None:
    reports = [golden(name) for name in ("failed", "delayed", "mixed", "failed-headers")]
    content, message = merge(*reports)
    assert [one["Message-ID"] for one in digest(message)] == [
        email.message_from_bytes(one)["Message-ID"] for one in reports
    ]
    for one in reports:
        assert one in content


def test_a_person_reads_of_whom_each_tells() -> None:
    _, message = merge(golden("failed"), golden("mixed"))
    text = next(message.iter_parts()).get_content()
    said = (
        "1. <Bob@example.com>: failed (5.1.1)\r\n    > Original-Recipient: rfc822;Bob+lunch@example.com\r\n"
    )
    assert said in text
    assert "2. <dan@example.com>: delayed (4.7.1)" in text.splitlines()


@pytest.mark.parametrize("name", ["smtputf8", "smtputf8-sender", "smtputf8-headers"])
def test_a_report_in_utf_8_tells_no_less(name: str) -> None:
    """Its fields may be in quoted-printable (RFC 6533 section 4.1)."""
    assert merged.told(golden(name)) == [("例@example.com", "failed", "5.1.1", "utf-8;例@example.com")]


@pytest.mark.parametrize(("language", "said"), [("de", "nicht zugestellt"), ("pl", "nie dostarczono")])
def test_what_happened_is_told_in_each_language(language: str, said: str) -> None:
    _, message = merge(golden("failed"), golden("mixed"), texts=Texts((language, "en")))
    ours, english = next(message.iter_parts()).get_content().split("=== English ===")
    assert f"1. <Bob@example.com>: {said} (5.1.1)" in ours and ": failed" not in ours
    assert "1. <Bob@example.com>: failed (5.1.1)" in english


def test_an_opening_of_ones_own_that_names_a_message_is_not_put_over_many() -> None:
    """The id would be that of a report, and none that the reader knows of."""
    own = words_texts.parse("[language en]\n[opening]\n{mta} on {id} of {arrival}.\n")
    _, message = merge(golden("failed"), golden("mixed"), texts=Texts(("en",), own))
    text = next(message.iter_parts()).get_content()
    assert text.startswith("This is the mail system at mx.example.net.")
    assert "1H9F3QVK2A7C5" not in text
    own = words_texts.parse("[language en]\n[opening]\nOurs, {mta}.\n")
    _, message = merge(golden("failed"), golden("mixed"), texts=Texts(("en",), own))
    assert next(message.iter_parts()).get_content().startswith("Ours, mx.example.net.")


def test_bounce_readers_find_what_they_would_have_found_in_each() -> None:
    reports = [golden("failed"), golden("delayed"), golden("failed-headers")]
    temporary, permanent = set(), set()
    for one in reports:
        some, others = all_failures(email.message_from_bytes(one))
        temporary |= some
        permanent |= others
    assert permanent
    assert all_failures(merge(*reports)[1]) == (temporary - permanent, permanent)


def test_many_recipients_are_not_all_listed() -> None:
    block = "\r\nFinal-Recipient: rfc822;u{0}@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    blocks = "".join(block.format(number) for number in range(50)).encode()
    one = golden("failed")
    start = one.index(b"\r\nOriginal-Recipient:")
    end = one.index(b"\r\n--", start)
    _, message = merge(one[:start] + blocks + one[end:], golden("delayed"))
    text = next(message.iter_parts()).get_content()
    assert "<u19@example.com>" in text and "<u20@example.com>" not in text
    assert "    ... (+30)" in text.splitlines()


def test_a_boundary_is_found_in_no_report() -> None:
    one = golden("failed").replace(b"Lunch", b"--c0ffee")
    _, message = merge(one, one, boundary="c0ffee")
    assert len(digest(message)) == 2


def test_a_reader_outside_ascii_gets_eight_bits() -> None:
    """A report to one goes by SMTPUTF8 itself, and so does what is merged."""
    content, message = merge(golden("smtputf8-sender"), golden("smtputf8-sender"))
    assert not content.isascii()
    assert message["Content-Transfer-Encoding"] == "8bit"
    _, reports = message.iter_parts()
    assert {part.get_content_type() for part in reports.iter_parts()} == {"message/global"}


def test_eight_bits_inside_are_told_of_alone() -> None:
    """What an original has in 8 bits does not make a header one of UTF-8 (RFC 2045 section 6.4)."""
    one = golden("failed").replace(b"At noon?", b"\xc0 midi?")
    content, message = merge(one, golden("failed"))
    assert one in content and message["Content-Transfer-Encoding"] == "8bit"
    _, reports = message.iter_parts()
    parts = list(reports.iter_parts())
    assert [part.get_content_type() for part in parts] == ["message/rfc822"] * 2
    assert [part["Content-Transfer-Encoding"] for part in parts] == ["8bit", None]


@pytest.mark.parametrize(
    "damaged",
    [b"", b"no report\r\n", b"\r\nContent-Type: message/delivery-status\r\n\r\nStatus: 5.0.0", b"\xff\0\r\n"],
)
def test_what_is_no_report_is_merged_all_the_same(damaged: bytes) -> None:
    assert merged.told(damaged) == []
    content, _ = merge(golden("failed"), damaged)
    assert damaged in content
