"""What people read of a report; that it can be read at all is in test_dsn."""

from __future__ import annotations

import quopri
from email import message_from_bytes, policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import parse
from mether.content import words, words_texts
from mether.content.classify import parse as parse_rules
from mether.content.dsn import About, report
from mether.content.status import Item
from mether.content.words import Facts
from mether.content.words_texts import Texts
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply

AT = 1772529164.0
ALICE = parse("alice@example.org")
ENGLISH = Texts()


def item(
    action: str,
    reply: Reply,
    to: str = "bob@example.com",
    remote_mta: str = "mx.example.com",
    at: float = AT,
    **more: object,
) -> Item:
    outcome = Outcome(0, action, reply, remote_mta=remote_mta, at=at)  # type: ignore[arg-type]
    return Item(Recipient(parse(to, utf8=True)), outcome, **more)  # type: ignore[arg-type]


def facts(**more: Any) -> Facts:
    given = {"mta": "mx.example.net", "postmaster": "pm@example.net", "ident": "ABC", "arrival": AT - 4}
    return Facts(**given | more)


def part(*items: Item, texts: Texts = ENGLISH, **more: Any) -> str:
    """The text as people read it."""
    about = {
        name: more.pop(name) for name in ("mta", "postmaster", "ident", "arrival", "offset") if name in more
    }
    return read(words.part(items, texts, facts(**about), **more))


def read(octets: bytes) -> str:
    """A part as people read it."""
    head, _, body = octets.partition(b"\r\n\r\n")
    assert octets.isascii()
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    if b"quoted-printable" in head:
        body = quopri.decodestring(body)
    return body.decode()


NO_USER = Reply(550, "5.1.1", "no such user")
FAILED = item("failed", NO_USER, attempts=1)
DELAYED = item("delayed", Reply(451, "4.2.1", "asleep"), "dan@example.com", will_retry_until=AT + 86400)
DELIVERED = item("delivered", Reply(250, "2.0.0", "delivered to the mailbox"), "eve@example.net", "")
RELAYED = item("relayed", Reply(250, "2.0.0", "queued as 1"), "fay@example.com")
EXPIRED = item("failed", Reply(451, "4.4.1", "connecting to x: refused"), remote_mta="", attempts=40)


def test_a_failure() -> None:
    """BNC-3: what happened, to whom, what was said, what was done, and what can be done."""
    assert part(FAILED, complete=True).split("\r\n") == [
        "This is the mail system at mx.example.net.",
        "",
        "Your message could not be delivered to the recipients below.",
        "",
        "There is no mailbox with this address, or it is closed.",
        "",
        "<bob@example.com>:",
        "    mx.example.com said:",
        "    > 550 5.1.1 no such user",
        "",
        "Delivery attempts: 1, the last one at 2026-03-03 09:12 +0000. Nothing more",
        "will be tried.",
        "",
        "Please check the address for mistakes, above all in front of the @. If it is",
        "right, ask the recipient in another way for the present address.",
        "",
        "The message is attached in full.",
        "Its queue id was ABC; it came here at 2026-03-03 09:12 +0000.",
        "",
    ]


def test_each_thing_that_happened_has_its_section_the_worst_first() -> None:
    """BNC-3: one report, and nobody reads of a success as if it had failed."""
    text = part(RELAYED, DELIVERED, DELAYED, FAILED)
    places = [
        text.index(said)
        for said in (
            "could not be delivered",
            "<bob@example.com>",
            "A WARNING ONLY",
            "<dan@example.com>",
            "until 2026-03-04 09:12 +0000",
            "was delivered to the recipients below",
            "<eve@example.net>",
            "> 250 2.0.0 delivered to the mailbox",
            "was handed on",
            "<fay@example.com>",
            "> 250 2.0.0 queued as 1",
            "The header of the message",
        )
    ]
    assert places == sorted(places)


@pytest.mark.parametrize("language", words_texts.LANGUAGES)
@pytest.mark.parametrize("action", ["failed", "delayed"])
def test_nobody_is_said_to_have_got_nothing_who_may_have_got_it(language: str, action: str) -> None:
    texts = Texts((language,))
    doubt = Outcome(0, action, Reply(451, "4.4.2", "lost"), at=AT, uncertain=True)  # type: ignore[arg-type]
    certain = item(action, Reply(451, "4.2.1", "asleep"), "dan@example.com")

    def told(*items: Item) -> str:
        return " ".join(part(*items, texts=texts).split())

    one, sure, unsure = Item(Recipient(ALICE), doubt), texts.find(language, action), f"{action}: uncertain"
    assert sure not in told(one)
    assert texts.find(language, unsure) in told(one)
    both = told(certain, one)
    assert both.index(sure) < both.index("<dan@") < both.index(texts.find(language, unsure))
    assert both.index(texts.find(language, unsure)) < both.index("<alice@")


def test_recipients_with_the_same_trouble_stand_together() -> None:
    other = item("failed", Reply(550, None, "user unknown"), "carol@example.com", attempts=1)
    full = item("failed", Reply(552, "5.2.2", "mailbox full"), "dan@example.com", attempts=1)
    text = part(FAILED, full, other)
    assert text.count("There is no mailbox") == 1
    assert (
        text.index("<carol@")
        < text.index("Please check")
        < text.index("mailbox is full")
        < text.index("<dan@")
    )


def test_time_that_ran_out_is_told_and_how_often_it_was_tried() -> None:
    text = " ".join(part(EXPIRED).split())
    assert "did not answer" in text
    assert "Delivery attempts: 40, the last one at 2026-03-03 09:12 +0000." in text
    assert "waiting here since 2026-03-03 09:12 +0000" in text


def test_who_returns_it_is_told_with_the_remark_in_quotation() -> None:
    text = part(EXPIRED, remark="moved house\nwrite to <b@x>\x1b[2J")
    assert "The postmaster of this mail system has taken the message out of the queue" in text
    assert "The postmaster's remark:\r\n    > moved house\r\n    > write to <b@x> [2J\r\n" in text
    assert "remark" not in part(EXPIRED, remark="")
    assert "taken the message out" in part(EXPIRED, remark="")


def test_a_remark_without_end_is_cut() -> None:
    """LIM"""
    text = part(FAILED, remark="line\n" * 5000)
    assert text.count("> line") == words.MAX_REMARK


def test_an_administrators_rules_reach_the_words() -> None:
    silly = item("failed", Reply(550, None, "wer bist du?"))
    rules = parse_rules("[mailbox full x.2.2]\nwer bist du\n")
    assert "refused the message" in part(silly)
    assert "mailbox is full" in part(silly, rules=rules)


def test_a_notice_tells_the_postmaster_and_gives_no_advice() -> None:
    text = part(FAILED, notice=True)
    assert "most likely a report itself" in text
    assert "There is no mailbox with this address" in text
    assert "Please check" not in text


@pytest.mark.parametrize(
    ("items", "subject"),
    [
        ([FAILED, DELAYED, DELIVERED], "Undelivered mail returned to sender"),
        ([DELAYED, DELIVERED], "Mail delivery is delayed"),
        ([DELIVERED, RELAYED], "Mail delivery report"),
    ],
)
def test_the_subject_tells_the_worst(items: list[Item], subject: str) -> None:
    assert words.subject(items, ENGLISH, facts()) == subject
    assert words.subject(items, ENGLISH, facts(), notice=True).startswith("Postmaster notice")


def test_a_subject_may_name_what_other_texts_may() -> None:
    own = words_texts.parse(
        "[language en]\n[subject: failed]\n{mta}: {id} failed\n[subject: merged]\n{count}!\n"
    )
    texts = Texts(("en",), own)
    assert words.subject([FAILED], texts, facts()) == "mx.example.net: ABC failed"
    assert words.merged_subject(7, texts, facts()) == "7!"


def test_of_very_many_recipients_the_first_are_named() -> None:
    """The part for programs has all of them; a report in eight languages would be eight times as long."""
    many = [item("failed", NO_USER, f"n{number}@example.com") for number in range(105)]
    text = part(*many)
    assert "<n99@example.com>:" in text and "<n100@example.com>:" not in text
    assert "There are 5 more like these" in text


def test_reports_in_one_message_are_introduced_in_each_language() -> None:
    own = words_texts.parse("[language qaa]\n[merged]\nÜber {count}:\n")
    told = words.Told(1, "bob@example.com", "failed", "5.1.1")
    text = read(words.merged(3, [told, "and so on"], Texts(("qaa", "en"), own), facts()))
    assert "Über 3:\r\n\r\n1. <bob@example.com>: failed (5.1.1)\r\nand so on\r\n" in text
    assert "The 3 reports that had to wait" in text
    assert text.count("1. <bob@example.com>") == 2


def test_several_languages_stand_one_behind_the_other() -> None:
    own = words_texts.parse("[language qaa]\n[name]\nÄÖ\n[no such user]\nNiemand.\n")
    texts = Texts(("qaa", "en"), own)
    octets = words.part([FAILED], texts, facts())
    assert b"charset=utf-8\r\nContent-Language: qaa, en\r\n" in octets
    text = part(FAILED, texts=texts)
    assert text.startswith("ÄÖ / English\r\n\r\n=== ÄÖ ===\r\n")
    assert text.index("Niemand.") < text.index("=== English ===") < text.index("There is no mailbox")
    assert text.count("> 550 5.1.1 no such user") == 2


def test_words_outside_ascii_can_be_read() -> None:
    assert "<jürgen@example.com>:" in part(
        item("failed", Reply(550, None, "unbekannt"), "jürgen@example.com")
    )


@pytest.mark.parametrize(
    "said", ["no\r\n\r\n--b1\r\nX: y", "a\u2028b", "\x1b]0;x\x07", "\u202e gpj", "word " * 900]
)
def test_what_a_server_said_is_quoted_whatever_it_is(said: str) -> None:
    """BNC-10"""
    text = part(item("failed", Reply(550, None, said)))
    lines = text.split("\r\n")
    start = lines.index("    mx.example.com said:") + 1
    quoted = lines[start : lines.index("", start)]
    assert all(line.startswith("    > ") and line.isprintable() for line in quoted)
    assert sum(map(len, quoted)) < 1100
    assert "--b1" not in lines


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=2000))
def test_nobody_else_can_break_the_text(said: str, server: str, remark: str) -> None:
    part(item("failed", Reply(550, None, said), remote_mta=server), remark=remark)


@given(st.text(alphabet=st.characters() | st.sampled_from("-b1 \n."), max_size=400))
def test_no_text_of_an_administrator_can_break_a_report(text: str) -> None:
    try:
        own = words_texts.parse(f"[language en]\n[opening]\n{text}\n--b1\n\n--b1--\n\nFrom x\n{'y' * 3000}")
    except words_texts.TextsError:
        return
    about = About(Envelope(ALICE), "ABC", arrival=AT, original=b"Subject: x\r\n\r\n.\r\n", complete=True)
    content = report(
        reporting_mta="mx.example.net",
        ident="R",
        boundary="b1",
        to=ALICE,
        postmaster=ALICE,
        at=AT,
        about=about,
        items=[FAILED],
        texts=Texts(("en",), own),
    )
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    message = message_from_bytes(content, policy=policy.SMTP)
    assert not message.defects
    assert len(message.get_payload()) == 3


def test_times_are_written_in_digits() -> None:
    assert words.when(0.0, 0) == "1970-01-01 00:00 +0000"
    assert words.when(1772529164.0, 3600) == "2026-03-03 10:12 +0100"
    assert words.when(1772529164.0, -12600) == "2026-03-03 05:42 -0330"
