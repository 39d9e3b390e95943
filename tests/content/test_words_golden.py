"""A report of each kind of trouble and in each language, held against a file that a person read.

The files in reports/kinds/ and reports/languages/ have LF line ends, to be read and compared; what is sent
has CRLF.  After a change that is meant, METHER_GOLDEN=write makes them anew: read what came out before it is
committed.
"""

from __future__ import annotations

import os
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from sample_reports import ALICE, AT, DELAYED, DELIVERED, FAILED, JURGEN, PLAIN, RELAYED, UTF8

from mether.address import Address, parse
from mether.content.dsn import About, Item, report
from mether.content.suppression import refusal
from mether.content.words_kind import ALL, kind
from mether.content.words_texts import LANGUAGES, Texts
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.relay import final, program
from mether.reply import Reply
from mether.runner import settle
from mether.smtp import fit

KINDS = Path(__file__).parent / "reports" / "kinds"
SPOKEN = Path(__file__).parent / "reports" / "languages"
HOST = "mail.example.com[192.0.2.9]:25"


def item(reply: Reply, mta: str = HOST, *, attempts: int = 1, uncertain: bool = False) -> Item:
    outcome = Outcome(0, "failed", reply, remote_mta=mta, at=AT - 1, uncertain=uncertain)
    return Item(Recipient(parse("bob@example.com")), outcome, attempts=attempts)


def ours(reply: Reply, *, attempts: int = 0, uncertain: bool = False) -> Item:
    return item(reply, "", attempts=attempts, uncertain=uncertain)


CASES: dict[str, Item] = {
    "no such user": item(Reply(550, "5.1.1", "<bob@example.com>: Recipient address rejected: User unknown")),
    "mailbox full": item(
        Reply(452, "4.2.2", "The email account that you tried to reach is over quota"), attempts=47
    ),
    "policy": item(Reply(550, "5.7.1", "Relaying denied")),
    "reputation": item(
        Reply(554, "5.7.1", "Service unavailable; client host [192.0.2.7] blocked using a list")
    ),
    "rate limited": item(Reply(450, "4.7.1", "Too many messages from your host, slow down"), attempts=52),
    "greylisted": item(Reply(451, "4.7.1", "Greylisting in action, please come back later"), attempts=60),
    "content": item(Reply(554, "5.7.1", "Message rejected as spam by content filtering")),
    "size": item(Reply(552, "5.3.4", "Message size exceeds fixed limit")),
    "auth": item(
        Reply(550, "5.7.26", "This mail has been blocked because the sender is unauthenticated (DMARC)")
    ),
    "tls": item(Reply(530, "5.7.0", "Must issue a STARTTLS command first")),
    "dns": item(
        Reply(450, "4.1.8", "<alice@example.org>: Sender address rejected: Domain not found"), attempts=44
    ),
    "connection": item(
        Reply(421, "4.3.2", "Service not available, closing transmission channel"), attempts=44
    ),
    "protocol": item(Reply(503, "5.5.1", "Bad sequence of commands")),
    "other": item(Reply(554, "5.0.0", "Nope")),
    "returned": ours(Reply(451, "4.4.1", "connecting to mail.example.com: Connection refused"), attempts=9),
    "suppressed": ours(refusal(AT - 86400 * 30, "550 5.1.1 no such user", "5.1.1")),
    "loop": ours(final.LOOP, attempts=1),
    "refused": ours(Reply(550, "5.7.1", "not wanted here")),
    "too large": ours(
        Reply(552, "5.3.4", "the next hop takes messages of up to 1000 octets, this one has 2000")
    ),
    "smtputf8": ours(fit.NO_SMTPUTF8_SENDER, attempts=1),
    "8bit": ours(fit.NOT_CONVERTIBLE, attempts=1),
    "requiretls": ours(fit.NO_REQUIRETLS, attempts=1),
    "deliver-by": ours(
        settle.over(Outcome(0, "failed", Reply(451, "4.7.1", "greylisted"), at=AT - 1)).reply, attempts=3
    ),
    "program": ours(program.exit_reply("rmail", 67, b"bob: no such user"), attempts=1),
    "null mx": ours(Reply(556, "5.1.10", "example.com does not accept mail (null MX)"), attempts=1),
    "no domain": ours(Reply(550, "5.1.2", "the domain example.com does not exist"), attempts=1),
    "no answer": ours(
        Reply(451, "4.4.1", "connecting to mail.example.com[192.0.2.9]:25: Connection refused"), attempts=40
    ),
    "uncertain": ours(
        Reply(451, "4.4.2", "the server closed the connection (waiting for the reply to the content)"),
        attempts=40,
        uncertain=True,
    ),
    "trouble": ours(Reply(451, "4.3.5", "the configuration has no route of that name any more"), attempts=30),
    "waiting": ours(settle.EXPIRED),
}


def made(
    items: list[Item], *, texts: Texts, to: Address = ALICE, remark: str | None = None, **more: object
) -> bytes:
    return report(
        reporting_mta="mx.example.net",
        ident="1H9F3QVK2A7C5",
        boundary="f3a1c07e",
        to=to,
        postmaster=parse("postmaster@example.net"),
        at=AT,
        about=About(
            more.get("envelope", Envelope(to)),  # type: ignore[arg-type]
            "1H9F3QVK2A7B0",
            arrival=AT - 5 * 86400,
            original=more.get("original", PLAIN),  # type: ignore[arg-type]
            complete=True,
        ),
        items=items,
        offset=3600,
        texts=texts,
        remark=remark,
    )


def held(file: Path, content: bytes) -> None:
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    if os.environ.get("METHER_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content.replace(b"\r\n", b"\n"))
    assert content == file.read_bytes().replace(b"\n", b"\r\n")


def said(content: bytes) -> tuple[EmailMessage, EmailMessage]:
    message = message_from_bytes(content, policy=policy.SMTPUTF8)
    assert isinstance(message, EmailMessage) and not message.defects
    people = message.get_payload(0)
    assert isinstance(people, EmailMessage) and not people.defects
    return message, people


def test_there_is_one_for_each_kind() -> None:
    assert list(CASES) == list(ALL)
    assert {file.stem for file in KINDS.iterdir()} == {name.replace(" ", "-") for name in ALL}
    assert {file.stem for file in SPOKEN.iterdir()} == {*LANGUAGES, "several", "smtputf8-sender"}


@pytest.mark.parametrize("name", CASES)
def test_a_kind_of_trouble(name: str) -> None:
    """BNC-3, BNC-10: each with what happened, to whom, what was said, what was done, and what can be done."""
    one = CASES[name]
    remark = "The address was closed in May.\nWrite to <carol@example.com>." if name == "returned" else None
    assert kind(one.outcome, returned=remark is not None) == name
    content = made([one], texts=Texts(), remark=remark)
    held(KINDS / f"{name.replace(' ', '-')}.eml", content)
    _, people = said(content)
    text = people.get_content().partition("From the header of the message:")[0]
    opening = "not be made certain that" if name == "uncertain" else "not be delivered to"
    order = ("This is the mail system", opening, "\r\n<bob@example.com>:", "    > ", "queue id")
    places = [text.rindex(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language(language: str) -> None:
    """RFC 3282: the language is named; RFC 2047: the subject can be read."""
    texts = Texts((language,))
    content = made([DELIVERED, FAILED, CASES["no answer"], RELAYED, DELAYED], texts=texts)
    held(SPOKEN / f"{language}.eml", content)
    message, people = said(content)
    assert content.isascii()
    assert message["Subject"] == texts.find(language, "subject: failed")
    assert people["Content-Language"] == language
    words = " ".join(people.get_content().split())
    for key in (
        "failed",
        "no such user",
        "no such user: advice",
        "no answer",
        "delivered",
        "relayed",
        "full",
    ):
        assert texts.find(language, key) in words


def test_several_languages() -> None:
    content = made([FAILED], texts=Texts(("fr", "nl", "en")))
    held(SPOKEN / "several.eml", content)
    message, people = said(content)
    assert people["Content-Language"] == "fr, nl, en"
    assert message["Subject"] == "Message non remis : retour à l'expéditeur"
    text = people.get_content()
    assert text.startswith("Français / Nederlands / English\r\n")
    assert text.count("> 550 5.1.1 <bob@example.com>: no such user here") == 3


def test_a_language_for_a_sender_outside_ascii() -> None:
    """EAI-9"""
    content = made(
        [FAILED],
        texts=Texts(("de",)),
        to=JURGEN,
        envelope=Envelope(JURGEN, smtputf8=True, body="8BITMIME"),
        original=UTF8,
    )
    held(SPOKEN / "smtputf8-sender.eml", content)
    message, _ = said(content)
    assert message["To"] == "jürgen@bücher.example"
    assert message["Subject"] == "Unzustellbar: Ihre Nachricht kommt zurück"
