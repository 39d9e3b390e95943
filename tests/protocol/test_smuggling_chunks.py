"""Look-alikes of the end of content in BDAT, and in what a relay sends on by DATA; vectors at every split.

BDAT has no end to be mistaken for, but content that was taken by it goes on by DATA to a next hop that may
take a look-alike for the end (RFC 3030 section 2, CVE-2023-51764).  So text is held to the same rules.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lookalikes import LOOKALIKES
from wirepair import Pair, Taker, cuts, dialogue, feed, octet

from mether.net.tls import Security
from mether.reply import Reply
from mether.server.dialogue import Dialogue
from mether.smtp import wire
from mether.smtp.client import ClientProtocol, ProtocolFault
from mether.smtp.command import BadCommand, Grammar

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "testdata" / "vectors"
KEYWORDS = ["PIPELINING", "SIZE 0", "8BITMIME", "CHUNKING", "BINARYMIME", "SMTPUTF8", "STARTTLS"]
END = b"\r\n.\r\n"
SMUGGLED = b"MAIL FROM:<admin@bank.example>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nForged\r\n"


def vectors(name: str, key: str, **where: str) -> list[Any]:
    path = VECTORS / f"{name}.json"
    if not path.exists():
        return []
    return [
        pytest.param(one, id=one["id"])
        for one in json.loads(path.read_text(encoding="utf-8"))[key]
        if all(one.get(field) == value for field, value in where.items())
    ]


def session(taker: Taker, *, binary: bool = False, normalize: bool = False) -> Dialogue:
    taker.keywords = KEYWORDS
    made = dialogue(taker, normalize=normalize)
    made.open()
    made.receive(b"EHLO c\r\n")
    body = b" BODY=BINARYMIME" if binary else b""
    made.receive(b"MAIL FROM:<a@x.test>" + body + b"\r\nRCPT TO:<b@x.test>\r\n")
    assert made.protocol.state == "RCPT"
    return made


def ends(data: bytes) -> int:
    """How many ends there are in what goes out by DATA, read by the rule."""
    return (b"\r\n" + data).count(END)


def is_bare(data: bytes) -> bool:
    rest = data.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest


def check_relayed(content: bytes) -> None:
    """What was taken goes out by DATA with one end, its own, and without a CR or LF alone."""
    sent = wire.stuff(content)
    sent += b".\r\n" if sent.endswith(b"\r\n") or not sent else END
    assert ends(sent) == 1 and (b"\r\n" + sent).endswith(END)
    assert not is_bare(sent)
    taker = Taker()
    relayed = session(taker)
    relayed.receive(b"DATA\r\n")
    assert feed(relayed, sent + b"NOOP\r\n", octet) == b"250 2.0.0 ok\r\n" * 2
    assert len(taker.messages) == 1


def texts(lookalike: bytes) -> list[bytes]:
    return [before + lookalike + SMUGGLED for before in (b"Subject: x\r\n\r\nbody", b"", b"Subject: x\r\n")]


def taken(data: bytes, split: int, **how: bool) -> tuple[bytes, Taker]:
    """The replies to content in two chunks, cut at `split`, and who took it."""
    taker = Taker()
    made = session(taker, **how)
    answers = feed(
        made, b"BDAT %d\r\n" % split + data[:split] + b"BDAT %d LAST\r\n" % (len(data) - split) + data[split:]
    )
    assert [verb for verb, _ in taker.events].count("MAIL") == 1, "a command was smuggled"
    assert not made.closing
    return answers, taker


@pytest.mark.parametrize("lookalike", LOOKALIKES, ids=lambda octets: octets.hex(" "))
def test_in_chunks_cut_at_every_octet(lookalike: bytes) -> None:
    """DAT-2, DAT-3, BDT-1: refused, wherever the chunks or the segments are cut."""
    for data in texts(lookalike):
        for split in range(len(data) - len(SMUGGLED) + 3):
            answers, taker = taken(data, split)
            assert taker.messages == []
            assert b"550 5.6.0" in answers or b"554 5.6.0" in answers
        taker = Taker()
        made = session(taker)
        answers = feed(made, b"BDAT %d LAST\r\n" % len(data) + data, octet)
        assert answers.startswith((b"550 5.6.0", b"554 5.6.0"))
        assert taker.messages == [] and made.protocol.state == "READY"


@pytest.mark.parametrize("lookalike", LOOKALIKES, ids=lambda octets: octets.hex(" "))
def test_normalized_and_relayed_by_data(lookalike: bytes) -> None:
    """DAT-3: what is normalized holds one end when it goes on; NUL is refused all the same."""
    for data in texts(lookalike):
        for split in range(len(data) - len(SMUGGLED) + 3):
            answers, taker = taken(data, split, normalize=True)
            if b"\0" in lookalike:
                assert b"554 5.6.0" in answers and taker.messages == []
            else:
                check_relayed(taker.messages[0].content)


@pytest.mark.parametrize("lookalike", LOOKALIKES, ids=lambda octets: octets.hex(" "))
def test_in_binary_they_are_octets(lookalike: bytes) -> None:
    """8BM-4: a binary message may hold them; it never goes on by DATA as it is (8BM-5)."""
    data = b"\0" + lookalike + SMUGGLED
    for split in range(len(lookalike) + 2):
        _, taker = taken(data, split, binary=True)
        assert [message.content for message in taker.messages] == [data]


@pytest.mark.parametrize("vector", vectors("smuggling", "vectors", side="server"))
@pytest.mark.parametrize("normalize", [False, True])
def test_vectors(vector: dict[str, str], normalize: bool) -> None:
    """DAT-1, DAT-2: each is content or refused, by DATA and by BDAT, at every split."""
    sequence = bytes.fromhex(vector["hex"])
    for before in (b"body", b""):
        data = before + sequence + SMUGGLED
        for split in range(len(before + sequence) + 3):
            _, taker = taken(data, split, normalize=normalize)
            for message in taker.messages:
                check_relayed(message.content)
            if (b"\r\n" + data).find(END) >= 0:
                continue  # a true end, by DATA
            taker = Taker()
            made = session(taker, normalize=normalize)
            made.receive(b"DATA\r\n")
            assert feed(made, data + END, cuts([split] if split else [])).count(b"\r\n") == 1
            assert [verb for verb, _ in taker.events].count("MAIL") == 1
            for message in taker.messages:
                check_relayed(message.content)


@pytest.mark.parametrize("vector", vectors("starttls_injection", "vectors", side="server"))
def test_injection_into_starttls(vector: dict[str, str]) -> None:
    """TLS-2, TLS-3: nothing said in plaintext is left behind the handshake."""
    said = vector["plaintext"].encode()
    for split in range(1, len(said) + 1):
        taker = Taker()
        taker.keywords = KEYWORDS
        made = dialogue(taker)
        made.open()
        made.receive(b"EHLO before.example\r\n")
        answers = made.receive(said[:split])
        if not made.closing:
            answers += made.receive(said[split:])
        if made.securing and made.protocol.buffered:
            with pytest.raises(ValueError, match="plaintext"):
                made.secured(Security("TLSv1.3", "none"))
        elif made.securing:
            made.secured(Security("TLSv1.3", "none"))
            assert made.receive(b"RCPT TO:<b@x.test>\r\n").startswith(b"503")
        assert "DATA" not in [verb for verb, _ in taker.events]
        assert answers.count(b"220 ") <= 1


@pytest.mark.parametrize("vector", vectors("starttls_injection", "vectors", side="client"))
def test_injection_by_a_server(vector: dict[str, str]) -> None:
    """TLS-3: of what is said behind the 220 nothing is read."""
    said = vector["plaintext"].encode()
    if not said.startswith(b"220"):
        pytest.skip("not about what stands behind the 220")
    if not said.endswith(b"\r\n"):
        said += b"\r\n"
    pair = Pair(Taker())
    pair.hello()
    made: ClientProtocol = pair.client
    made.send("STARTTLS", b"STARTTLS\r\n")
    for split in range(1, len(said)):
        client = ClientProtocol()
        client.receive(b"220 mx\r\n")
        client.next_event()
        client.send("EHLO", b"EHLO c\r\n")
        client.receive(b"250-mx\r\n250 STARTTLS\r\n")
        client.next_event()
        client.send("STARTTLS", b"STARTTLS\r\n")
        client.receive(said[:split])
        event = client.next_event()
        if isinstance(event, tuple):
            client.receive(said[split:])
        else:
            client.receive(said[split:])
            event = client.next_event()
        assert isinstance(event, tuple) and isinstance(event[1], Reply) and event[1].code == 220
        if vector["id"] == "resp-ehlo":
            with pytest.raises(ProtocolFault):
                client.tls_started()
        else:
            client.tls_started()
            assert client.next_event() == "need data" and not client.offer.keywords


@pytest.mark.parametrize(
    ("vector", "good"),
    [
        pytest.param(*each.values, good, id=each.id)
        for key, good in (("valid", True), ("invalid", False))
        for each in vectors("smtp_paths", key)
    ],
)
def test_paths(vector: dict[str, str], good: bool) -> None:
    """CMD-14, CMD-15, CMD-22: a path is taken or refused with 501, and the session goes on."""
    path = vector["path"]
    for verb, line in (("MAIL", f"MAIL FROM:{path}"), ("RCPT", f"RCPT TO:{path}")):
        # RFC 5321 section 4.1.3 wants the tag of a literal to be registered, and only IPv6 is.
        expected = good and not (verb == "RCPT" and path == "<>") and "[tag:" not in path
        try:
            found = Grammar(["SIZE"]).parse(line.encode()).verb
        except BadCommand as error:
            found = str(error.reply.code)
        assert found == (verb if expected else "501"), line


@pytest.mark.parametrize("vector", vectors("eai", "addresses"))
def test_internationalized_addresses(vector: dict[str, Any]) -> None:
    """EAI-1, EAI-3: with SMTPUTF8 they are taken; without it 550 and 553 5.6.7, but for those in ASCII."""
    grammar = Grammar(["SMTPUTF8", "8BITMIME"])
    mail = f"MAIL FROM:<{vector['address']}>"
    rcpt = f"RCPT TO:<{vector['address']}>"
    assert grammar.parse(f"{mail} SMTPUTF8".encode()).verb == "MAIL"
    assert grammar.parse(rcpt.encode(), utf8=True).verb == "RCPT"
    for line, code in ((mail, "550 5.6.7"), (rcpt, "553 5.6.7")):
        if vector["needs_smtputf8"]:
            with pytest.raises(BadCommand) as caught:
                grammar.parse(line.encode())
            assert f"{caught.value.reply.code} {caught.value.reply.status}" == code
        else:
            grammar.parse(line.encode())


@pytest.mark.parametrize("vector", vectors("eai", "broken"))
def test_broken_utf_8(vector: dict[str, str]) -> None:
    """EAI-3: 5yz, whatever it is broken with."""
    octets = vector["octets"].encode().decode("unicode_escape").encode("latin-1")
    grammar = Grammar(["SMTPUTF8", "8BITMIME"])
    for line in (b"MAIL FROM:<%b> SMTPUTF8" % octets, b"RCPT TO:<%b>" % octets):
        with pytest.raises(BadCommand) as caught:
            grammar.parse(line, utf8=True)
        assert caught.value.reply.permanent


@pytest.mark.parametrize("vector", vectors("enhanced_codes", "codes"))
def test_enhanced_codes(vector: dict[str, Any]) -> None:
    """RPL-2: each code is read from a reply and written again, in its class."""
    for basic in vector["basic"] or ["550"]:
        code = basic if basic.isdigit() else "550"
        status = vector["id"].replace("X", code[0], 1)
        client = ClientProtocol()
        client.receive(f"{code} {status} some words\r\n".encode())
        event = client.next_event()
        assert isinstance(event, tuple)
        assert (event[1].code, event[1].status, event[1].text) == (int(code), status, "some words")
        assert event[1].encode() == f"{code} {status} some words\r\n".encode()
