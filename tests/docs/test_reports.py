"""docs/reports.md shows a report as it goes out, and names every key and placeholder of the texts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sample_reports import ALICE, AT, PLAIN

from mether.address import parse
from mether.content import words_texts
from mether.content.classify import KINDS
from mether.content.dsn import About, Item, report
from mether.content.words_kind import OWN
from mether.content.words_texts import KEYS, TextsError
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply

TEXT = (Path(__file__).parents[2] / "docs" / "reports.md").read_text("utf-8")


def sample() -> str:
    no_user = Reply(550, "5.1.1", "<bob@example.com>: Recipient address rejected: User unknown")
    down = Reply(451, "4.4.1", "connecting to mx.example.edu[198.51.100.4]:25: Connection timed out")
    content = report(
        reporting_mta="mx.example.net",
        ident="1H9F3QVK2A7C5",
        boundary="f3a1c07e",
        to=ALICE,
        postmaster=parse("postmaster@example.net"),
        at=AT,
        about=About(
            Envelope(ALICE, ret="HDRS"),
            "1H9F3QVK2A7B0",
            arrival=AT - 5 * 86400,
            original=PLAIN,
            complete=True,
            received_from="laptop.example.org ([192.0.2.1])",
        ),
        items=[
            Item(
                Recipient(parse("bob@example.com")),
                Outcome(0, "failed", no_user, remote_mta="mail.example.com[192.0.2.9]:25", at=AT - 1),
                attempts=1,
            ),
            Item(Recipient(parse("carol@example.edu")), Outcome(1, "failed", down, at=AT - 1), attempts=37),
        ],
    )
    return content.decode().replace("\r\n", "\n").expandtabs(8)


def test_the_sample_is_a_report() -> None:
    shown = TEXT.partition("<!-- sample")[2].partition("```\n")[2].partition("\n```")[0]
    assert shown == sample().rstrip("\n")


def test_every_kind_is_told() -> None:
    rows = TEXT.partition("| kind | is said when |\n| --- | --- |\n")[2].partition("\n\n")[0]
    assert [row.strip("| ").partition(" | ")[0] for row in rows.splitlines()] == [*OWN]
    assert ", ".join(KINDS) in " ".join(TEXT.split())


def test_every_other_key_is_told() -> None:
    rows = TEXT.partition("| key | what it is |")[2].partition("\n\n")[0]
    told = {
        name
        for row in rows.splitlines()
        for name in re.findall(r"`([\w: ]+)`", row.split("|")[1] if "|" in row else "")
    }
    others = {key for key in KEYS if key.removesuffix(": advice") not in (*KINDS, *OWN)}
    assert told - {"no such user", ": advice", "no such user: advice"} == others


def test_every_placeholder_is_told() -> None:
    rows = TEXT.partition("| placeholder | stands for | in |")[2].partition("\n\n")[0]
    told = {}
    for row in rows.splitlines()[2:]:
        names, _, where = row.strip("| ").split(" | ")
        for name in re.findall(r"\{(\w+)\}", names):
            told[name] = set(re.findall(r"`([\w: ]+)`", where))
    expected: dict[str, set[str]] = {name: set() for name in words_texts.EVERYWHERE}
    for key, names in words_texts.MORE.items():
        for name in names:
            expected.setdefault(name, set()).add(key)
    assert told == expected


def test_the_languages_are_told() -> None:
    told = re.findall(r"\(`(\w+)`\)", TEXT.partition("Those that come with mether")[2].partition("A tag")[0])
    assert set(told) == set(words_texts.LANGUAGES)


def test_the_example_of_own_texts_is_taken() -> None:
    example = TEXT.partition("For example:\n\n```\n")[2].partition("```")[0]
    own = words_texts.parse(example)
    assert set(own) == {"en", "en-gb"}
    texts = words_texts.Texts(("en-gb",), own)
    assert texts.find("en-gb", "subject: failed").startswith("We are sorry")
    assert texts.find("en-gb", "opening").startswith("This is the mail system of Example Inc.")
    assert texts.find("en-gb", "other: advice") == ""


@pytest.mark.parametrize("line", re.findall(r"^/etc/mether/texts.txt:\d+: (.*)$", TEXT, re.M))
def test_a_fault_is_told_as_shown(line: str) -> None:
    wrong = "[failed]\n{user}" if "{user}" in line else "[no such usr]\nx"
    with pytest.raises(TextsError) as caught:
        words_texts.parse(f"[language en]\n{wrong}\n")
    assert caught.value.what == line
