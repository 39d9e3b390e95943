"""A message with other addresses, as a next hop sees it."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from clock import running, virtual
from mail import TRACE, claim
from relays import Relay
from script_server import ScriptServer

from mether.address import Address, parse
from mether.client.session import Timeouts
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.queue.content import Content, in_memory
from mether.relay import opening, smtp
from mether.relay.hosts import Host
from mether.relay.rewriting import MAX_ADDRESSES, MAX_HEADER, Rewriting
from mether.routing.rewrite import Masquerade, Rewrite
from mether.routing.source import Needs, TableError
from mether.routing.srs import Srs

MESSAGE = (
    b'From: "Ann" <ann@host.example.org>\r\nTo: root, Bob <bob@example.com>\r\nSubject: ann@host.example.org'
    b"\r\n\r\nann@host.example.org\r\n"
)
SRS = Srs("example.com", [b"tops3cr3t"])
CHANGED = MESSAGE.replace(b"<ann@host.example.org>", b"<ann@example.org>")


class Slow:
    """A table that has to be asked first, or that cannot be read."""

    name = "table generic"

    def __init__(self, values: dict[str, str], fails: bool = False) -> None:
        self.values = values
        self.known: set[str] = set()
        self.fails = fails

    def get(self, key: str) -> str | None:
        if key not in self.known:
            raise Needs(self, key)
        if self.fails:
            raise TableError("table generic: the database does not answer")
        return self.values.get(key)

    async def learn(self, key: str) -> None:
        self.known.add(key)


def rewriting(
    *domains: str,
    table: Slow | None = None,
    srs: Srs | None = None,
    ours: Callable[[Address], bool] = lambda address: False,
    verp: tuple[str, ...] = (),
) -> Rewriting:
    masquerade = Masquerade(domains) if domains else None
    rewrite = Rewrite(masquerade, table, "host.example.org") if domains or table is not None else None
    forward = None if srs is None else lambda sender: srs.forward(sender, 1577836860.0)
    return Rewriting(rewrite, forward, ours, frozenset(verp))


def in_file(data: bytes) -> Content:
    return Content(None, len(data), lambda: io.BytesIO(data))


def whole(content: object) -> bytes:
    return b"".join(content.chunks(1000))  # type: ignore[attr-defined]


def spoken(mx: ScriptServer, verb: str) -> list[str]:
    return [line for line in mx.sessions[0] if line.startswith(verb)]


async def sent(
    mx: ScriptServer,
    how: Rewriting,
    content: Content,
    *paths: str,
    sender: str = "ann@host.example.org",
) -> list[Outcome]:
    await mx.start()
    relay = Relay(mx, content=content)
    relay.hop.settings.rewriting = lambda route: how
    (outcomes,) = await relay.send(claim(*paths, sender=sender, content=None))
    await relay.hop.close()
    return outcomes


@pytest.mark.parametrize("content", [in_memory(MESSAGE), in_file(MESSAGE)], ids=["memory", "file"])
@pytest.mark.parametrize("offer", [("SIZE",), ("SIZE", "CHUNKING")], ids=["data", "bdat"])
@virtual
async def test_envelope_header_and_size_say_the_same(content: Content, offer: tuple[str, ...]) -> None:
    """A masqueraded sender, by DATA and by BDAT; SIZE counts what is sent."""
    mx = ScriptServer(offer=offer)
    (outcome,) = await sent(mx, rewriting("example.org"), content)
    assert outcome.action == "relayed"
    assert spoken(mx, "MAIL") == [f"MAIL FROM:<ann@example.org> SIZE={len(TRACE) + len(CHANGED)}"]
    if "CHUNKING" in offer:
        chunks = [int(line.split(" ")[1]) for line in spoken(mx, "BDAT")]
        assert sum(chunks) == len(TRACE) + len(CHANGED)
        lines = [line for line in mx.sessions[0] if not line.startswith("BDAT")]
        assert (TRACE + CHANGED).decode() in "".join(f"{line}\r\n" for line in lines)
    else:
        assert [one.content for one in mx.messages] == [TRACE + CHANGED]


@virtual
async def test_a_large_file_goes_on_behind_its_header() -> None:
    body = b"x" * 998 + b"\r\n"
    message = MESSAGE + body * 300
    mx = ScriptServer()
    await sent(mx, rewriting("example.org"), in_file(message))
    assert mx.messages[0].content == TRACE + CHANGED + body * 300


@virtual
async def test_a_map_changes_recipients_too_and_tells_the_first_ones() -> None:
    """RFC 3461 section 4.2: what is reported of it names the address that the sender wrote."""
    table = Slow({"root": "admin@example.net", "bob@example.com": "robert@example.com"})
    mx = ScriptServer(offer=("DSN",))
    paths = ["root@host.example.org", "eve@example.net"]
    await sent(mx, rewriting(table=table), in_memory(MESSAGE), *paths)
    assert spoken(mx, "RCPT") == [
        "RCPT TO:<admin@example.net> ORCPT=rfc822;root@host.example.org",
        "RCPT TO:<eve@example.net>",
    ]
    assert b"\r\nTo: admin@host" not in mx.messages[0].content
    assert b"\r\nTo: admin@example.net, Bob <robert@example.com>\r\n" in mx.messages[0].content


@virtual
async def test_a_map_that_cannot_be_read_delays_the_mail_and_nobody_is_called() -> None:
    mx = ScriptServer()
    (outcome,) = await sent(mx, rewriting(table=Slow({}, fails=True)), in_memory(MESSAGE))
    assert str(outcome.reply) == "451 4.3.0 table generic: the database does not answer"
    assert outcome.action == "delayed" and outcome.scope != "host"
    assert mx.sessions == []


@virtual
async def test_a_connection_goes_on_after_mail_whose_map_cannot_be_read() -> None:
    """Only that message waits."""
    table = Slow({})
    mx = await ScriptServer().start()
    relay = Relay(mx, content=in_memory(MESSAGE))
    relay.hop.settings.rewriting = lambda route: rewriting(table=table)
    await relay.send(claim(content=None))
    table.fails = True
    ((delayed,),) = await relay.send(claim(content=None))
    table.fails = False
    ((sent,),) = await relay.send(claim(content=None))
    assert (delayed.action, sent.action) == ("delayed", "relayed")
    assert len(mx.sessions) == 1
    await relay.hop.close()


@virtual
async def test_the_null_reverse_path_stays_null() -> None:
    mx = ScriptServer()
    how = rewriting("example.org", table=Slow({}), srs=SRS)
    await sent(mx, how, in_memory(MESSAGE), sender="")
    assert spoken(mx, "MAIL")[0].startswith("MAIL FROM:<>")


@virtual
async def test_mail_of_others_leaves_under_an_address_of_ours() -> None:
    """SRS: the envelope changes, the header does not."""
    mx = ScriptServer()
    await sent(mx, rewriting(srs=SRS), in_memory(MESSAGE), sender="test@otherdomain.com")
    assert spoken(mx, "MAIL")[0].startswith("MAIL FROM:<SRS0=vmyz=2W=otherdomain.com=test@example.com>")
    assert mx.messages[0].content == TRACE + MESSAGE


@virtual
async def test_mail_of_our_own_leaves_under_its_name() -> None:
    mx = ScriptServer()
    ours = rewriting(srs=SRS, ours=lambda address: address.domain == "example.org")
    await sent(mx, ours, in_memory(MESSAGE), sender="ann@example.org")
    assert spoken(mx, "MAIL")[0].startswith("MAIL FROM:<ann@example.org>")


@virtual
async def test_what_nothing_changes_is_sent_as_it_is() -> None:
    recipients = [Recipient(parse("a@b.example"))]
    envelope = Envelope(parse("ann@example.org"), recipients)
    content = in_memory(b"From: ann@example.org\r\n\r\n")
    how = rewriting("example.org", table=Slow({}), srs=SRS, ours=lambda address: True)
    assert await how.changed(envelope, recipients, content) is None


@virtual
async def test_a_domain_outside_ascii_is_written_as_the_message_allows() -> None:
    """EAI-5: no internationalized header in a message that is none."""
    table = Slow({"ann@host.example.org": "ann@bücher.example", "bob@example.com": "jörg@bücher.example"})
    recipients = [Recipient(parse("a@b.example"))]
    for utf8 in (False, True):
        envelope = Envelope(None, recipients, smtputf8=utf8)
        content = in_memory(b"From: ann@host.example.org\r\n\r\n")
        made = await rewriting(table=table).changed(envelope, recipients, content)
        assert made is not None and made.envelope.smtputf8 is utf8
        assert whole(made.content).decode() == (
            "From: ann@bücher.example\r\n\r\n" if utf8 else "From: ann@xn--bcher-kva.example\r\n\r\n"
        )
    envelope = Envelope(None, recipients)
    made = await rewriting(table=table).changed(
        envelope, recipients, in_memory(b"To: bob@example.com\r\n\r\n")
    )
    assert made is not None and made.envelope.smtputf8 and made.envelope.body == "8BITMIME"
    assert not envelope.smtputf8, "the queue's own is untouched"


@virtual
async def test_a_header_without_end_is_changed_as_far_as_it_is_read() -> None:
    line = b"X: " + b"y" * 900 + b"\r\n"
    message = (
        b"From: ann@host.example.org\r\n" + line * (MAX_HEADER // len(line) + 5) + b"To: ann@host.example.org"
    )
    envelope = Envelope(None)
    made = await rewriting("example.org").changed(envelope, [], in_file(message))
    assert made is not None
    assert whole(made.content) == message.replace(b"From: ann@host.", b"From: ann@")
    assert made.content.size == len(message) - 5


@virtual
async def test_so_many_addresses_are_looked_up_and_no_more() -> None:
    table = Slow({})
    many = b"".join(b"To: a%d@example.org\r\n" % number for number in range(MAX_ADDRESSES + 50))
    await rewriting(table=table).changed(Envelope(None), [], in_memory(many))
    assert sum("@" in one[1:] for one in table.known) == MAX_ADDRESSES


@virtual
async def test_verp_gives_each_recipient_a_reverse_path_of_its_own() -> None:
    """The reverse-path, after masquerading, tells the queue id and the recipient that the sender wrote."""
    mx = ScriptServer(offer=("PIPELINING",))
    await mx.start()
    relay = Relay(mx, content=in_memory(MESSAGE))
    relay.hop.settings.rewriting = lambda route: rewriting("example.org", verp=("example.org",))
    one = claim("bob@example.net", f"{'e' * 40}@example.net", sender="ann@host.example.org", content=None)
    (outcomes,) = await relay.send(one)
    await relay.hop.close()
    assert [each.action for each in outcomes] == ["relayed", "relayed"]
    ident = one.message.ident
    assert spoken(mx, "MAIL") == [
        f"MAIL FROM:<ann+{ident}=bob=example.net@example.org>",
        f"MAIL FROM:<ann+{ident}=@example.org>",
    ]
    assert [one.content for one in mx.messages] == [TRACE + CHANGED] * 2


@pytest.mark.parametrize("sender", ["", "ann@example.com"])
@virtual
async def test_verp_is_for_its_domains_alone(sender: str) -> None:
    """DSN-7: the null reverse-path of a report stays; so does that of other people's mail."""
    mx = ScriptServer(offer=())
    (outcome,) = await sent(mx, rewriting(verp=("example.org",)), in_memory(MESSAGE), sender=sender)
    assert outcome.action == "relayed"
    assert spoken(mx, "MAIL") == [f"MAIL FROM:<{sender}>"]


@virtual
async def test_verp_asks_another_host_for_what_this_one_lacks() -> None:
    """RFC 5321 section 2.2.3: nothing is said to the first, though it would be two transactions there."""
    lacking = ScriptServer(offer=())
    await lacking.start()
    message = claim("bj\u00f6rn@example.net", "\u00e9ve@example.net", sender="ann@example.org", content=None)
    message.message.envelope.smtputf8 = True
    how = rewriting(verp=("example.org",))
    changed = await how.changed(
        message.message.envelope, [one.recipient for one in message.pending], in_memory(MESSAGE)
    )
    client = await opening.open(
        running(), Host("mx.example.net", "127.0.0.1", lacking.port), "us.example.com", Timeouts(), lmtp=False
    )
    with pytest.raises(smtp.Lacking) as caught:
        await smtp.send(
            client,
            message,
            in_memory(MESSAGE),
            remote_mta="mx",
            clock=running().clock,
            more=True,
            changed=changed,
        )
    assert len(caught.value.outcomes) == 2
    assert not any(line.startswith("MAIL") for line in lacking.sessions[0])
    client.abort()
