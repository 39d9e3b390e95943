"""Both clients under TLS and logged in, with servers that play by the book and servers that don't."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certificates
import loops
import pytest
import tlspeer
from clients import ME, kinds
from secure_server import SecureServer

from mether.client import connect
from mether.client import login as module
from mether.client.blocking import BlockingClient
from mether.client.session import Lost, Timeouts
from mether.net import blocking
from mether.net.certificate import Certificate
from mether.net.tls import ClientTls
from mether.relay import failure
from mether.reply import Reply
from mether.smtp import command, sasl_scram
from mether.smtp.extension import Offer
from mether.smtp.sasl_client import Credentials

TIMEOUTS = Timeouts(connect=20, greeting=20, command=20, data=20, block=20, end=20, quit=20, tls=20)
ANN = Credentials("ann", "secret")


class Both:
    """The two clients as one: what is a coroutine in the one is awaited, what is not is called."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **how: Any) -> Any:
            result = getattr(self.client, name)(*args, **how)
            return await result if asyncio.iscoroutine(result) else result

        return call


def drive(
    kind: str,
    server: SecureServer,
    work: Callable[[Both], Any],
    *,
    terms: Any = None,
    timeouts: Timeouts = TIMEOUTS,
    watch: list[tuple[str, str]] | None = None,
) -> Any:
    """Do `work` with a client of this kind; `terms` are for TLS from the beginning."""
    with tlspeer.peer(server) as there:
        if kind == "blocking":

            async def alone() -> Any:
                connection = blocking.connect([(2, "127.0.0.1")], there.port, 20)
                tell = (lambda *line: None) if watch is None else (lambda *line: watch.append(line))
                client = BlockingClient(connection, timeouts, tell)
                try:
                    if terms is not None:
                        client.shake_hands(terms)
                    return await work(Both(client))
                finally:
                    client.quit()

            return asyncio.run(alone())

        async def main() -> Any:
            loop = asyncio.get_running_loop()
            client = await connect.connect(loop, "127.0.0.1", there.port, timeouts, terms)
            try:
                return await work(Both(client))
            finally:
                await client.quit()

        return loops.run(kind, main())


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    return certificates.pair(tmp_path, "mx.example.com")


@pytest.fixture
def terms(tmp_path: Path, pair: tuple[str, str]) -> Any:
    client = ClientTls(ca=certificates.ca_file(tmp_path))
    return client.terms("verify", server_name="mx.example.com", names=["mx.example.com"])


@kinds
def test_starttls_forgets_what_was_said_in_clear(kind: str, pair: tuple[str, str], terms: Any):
    """TLS-2: EHLO again, and only what is offered under TLS counts."""
    server = SecureServer(
        tlspeer.server_context(pair), clear=("STARTTLS", "SIZE 1"), secure=("8BITMIME", "REQUIRETLS")
    )

    async def work(client: Both) -> None:
        assert (await client.hello(ME)).ok
        assert client.client.protocol.offer.size_limit == 1
        assert client.client.secure is None
        assert (await client.starttls(terms)).code == 220
        assert client.client.secure.verified
        assert client.client.protocol.state == "GREETED"
        assert client.client.protocol.offer.keywords == {}
        assert (await client.hello(ME)).ok
        assert set(client.client.protocol.offer.keywords) == {"8BITMIME", "REQUIRETLS"}

    drive(kind, server, work)
    assert server.sessions == [[f"EHLO {ME}", "STARTTLS", f"tls EHLO {ME}", "tls QUIT"]]


@kinds
def test_tls_from_the_beginning(kind: str, pair: tuple[str, str], terms: Any):
    """SUB: implicit TLS (RFC 8314 section 3)."""
    server = SecureServer(tlspeer.server_context(pair), implicit=True)

    async def work(client: Both) -> None:
        assert (await client.hello(ME)).ok
        assert client.client.secure.verified

    drive(kind, server, work, terms=terms)
    assert server.sessions == [[f"tls EHLO {ME}", "tls QUIT"]]


@kinds
def test_a_greeting_in_clear_is_none(kind: str, terms: Any):
    """TLS-3: where TLS begins with the connection nothing is read before it."""
    server = SecureServer(None, clear=())

    async def work(client: Both) -> None:
        await client.hello(ME)

    with pytest.raises(Lost, match="does not speak TLS") as caught:
        drive(kind, server, work, terms=terms)
    assert (caught.value.kind, caught.value.tls) == ("tls", "protocol")
    assert failure.of_lost(0, caught.value).status == "4.7.5"


@kinds
@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "502 5.5.1 never", "554 5.7.0 no"])
def test_a_refused_starttls_leaves_the_session(kind: str, reply: str, terms: Any):
    """TLS-6: what it means is the caller's to say; the session goes on in clear."""

    async def work(client: Both) -> str:
        await client.hello(ME)
        assert str(await client.starttls(terms)) == reply
        assert client.client.secure is None
        return str((await client.ask("NOOP", command.plain("NOOP"))).code)

    assert drive(kind, SecureServer(starttls=reply), work) == "250"


@kinds
def test_words_behind_the_220_are_the_end(kind: str, pair: tuple[str, str], terms: Any):
    """TLS-3: a server's plaintext behind its 220 is never taken for a reply under TLS."""
    server = SecureServer(tlspeer.server_context(pair), behind=b"250 injected\r\n")

    async def work(client: Both) -> None:
        await client.hello(ME)
        await client.starttls(terms)

    with pytest.raises(Lost) as caught:
        drive(kind, server, work)
    # In one segment with the 220 it is seen as such; in one of its own it is what breaks the handshake.
    assert caught.value.kind in ("protocol", "tls")
    assert len(server.sessions[0]) == 2


@kinds
def test_half_a_reply_behind_the_220_is_the_end_too(kind: str, pair: tuple[str, str], terms: Any):
    """TLS-3: not even the beginning of a line survives."""
    server = SecureServer(tlspeer.server_context(pair), behind=b"250-x")

    async def work(client: Both) -> None:
        await client.hello(ME)
        await client.starttls(terms)

    with pytest.raises(Lost):
        drive(kind, server, work)


@kinds
@pytest.mark.parametrize(
    ("garbage", "expected"), [(b"503 what?\r\n", "protocol"), (b"\x15\x03\x03\x00\x02\x02\x28", "alert")]
)
def test_a_handshake_that_fails(kind: str, garbage: bytes, expected: str, terms: Any):
    """TLS-6: the connection is closed, and nothing more is said on it."""
    server = SecureServer(garbage=garbage)

    async def work(client: Both) -> None:
        await client.hello(ME)
        try:
            await client.starttls(terms)
        finally:
            with pytest.raises(Exception):  # noqa: B017, PT011  # Lost or the connection's own
                await client.ask("NOOP", command.plain("NOOP"))

    with pytest.raises(Lost) as caught:
        drive(kind, server, work)
    assert (caught.value.kind, caught.value.tls) == ("tls", expected)


@kinds
def test_a_handshake_that_stalls(kind: str, terms: Any):
    """TMO: it has a time-out of its own."""
    short = Timeouts(connect=20, greeting=20, command=20, quit=20, tls=0.05)

    async def work(client: Both) -> None:
        await client.hello(ME)
        await client.starttls(terms)

    with pytest.raises(Lost, match="took too long") as caught:
        drive(kind, SecureServer(garbage=b""), work, timeouts=short)
    assert caught.value.tls == "timeout"


@kinds
@pytest.mark.parametrize(
    "mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "XOAUTH2"]
)
def test_every_mechanism(kind: str, mechanism: str, tmp_path: Path, pair: tuple[str, str], terms: Any):
    """AUT: each logs in, and with the right password only."""
    import ssl

    own = Certificate(
        ssl.PEM_cert_to_DER_cert(Path(pair[0]).read_text().split("-----END")[0] + ssl.PEM_FOOTER)
    )
    server = SecureServer(
        tlspeer.server_context(pair),
        secure=(f"AUTH {mechanism}",),
        passwords={"ann": "secret"},
        binding=own.end_point if mechanism.endswith("PLUS") else None,
    )
    bearer = "AUTH2" in mechanism or "BEARER" in mechanism

    async def work(client: Both) -> list[tuple[int, bool]]:
        await client.hello(ME)
        await client.starttls(terms)
        await client.hello(ME)
        answers = []
        for secret in ("wrong", "secret"):
            made = Credentials("ann", None, secret) if bearer else Credentials("ann", secret)
            reply, said = await client.login(made, host="mx.example.com", port=25)
            answers.append((reply.code, said))
        return answers

    assert drive(kind, server, work) == [(535, True), (235, True)]
    assert server.logins == [f"{mechanism} ann"]
    assert all(line.startswith("tls AUTH") for line in server.sessions[0] if "AUTH" in line)


@pytest.mark.parametrize("kind", loops.LOOPS)
def test_what_scram_computes_holds_up_nobody(kind: str, monkeypatch: pytest.MonkeyPatch):
    """AUT: a server may ask for a second of it, and the other sessions go on meanwhile."""
    threads: list[threading.Thread] = []
    salted = sasl_scram.salted

    def seen(password: str, salt: bytes, iterations: int) -> bytes:
        threads.append(threading.current_thread())
        return salted(password, salt, iterations)

    async def work(client: Both) -> tuple[int, threading.Thread]:
        await client.hello(ME)
        # From here on: the server's own keys are made by the same function.
        monkeypatch.setattr(sasl_scram, "salted", seen)
        reply, _ = await client.login(Credentials("ann", "wrong"))
        return reply.code, threading.current_thread()

    server = SecureServer(clear=("AUTH SCRAM-SHA-256",), passwords={"ann": "secret"})
    code, ours = drive(kind, server, work)
    assert code == 535
    assert threads and ours not in threads


@kinds
@pytest.mark.parametrize(
    ("offer", "words"),
    [((), "does not offer AUTH"), (("AUTH GSSAPI",), "the server offers GSSAPI")],
)
def test_no_way_in_common(kind: str, offer: tuple[str, ...], words: str):
    async def work(client: Both) -> tuple[Reply, bool]:
        await client.hello(ME)
        result: tuple[Reply, bool] = await client.login(ANN)
        return result

    reply, said = drive(kind, SecureServer(clear=offer), work)
    assert (reply.code, reply.status, said) == (454, "4.7.0", False)
    assert words in reply.text


@kinds
def test_a_server_that_lies_about_knowing_us(kind: str):
    """AUT: a 235 before SCRAM has proven the server's side is no success."""

    async def work(client: Both) -> tuple[Reply, bool]:
        await client.hello(ME)
        result: tuple[Reply, bool] = await client.login(ANN)
        return result

    reply, said = drive(kind, SecureServer(clear=("AUTH SCRAM-SHA-256",), lying=True), work)
    assert (reply.code, said) == (454, False)
    assert "did not prove" in reply.text


def step(offer: str, address: str = "192.0.2.1", secure: Any = None) -> Any:
    """An exchange's first step, or how it ended."""
    steps = module.exchange(Offer({"AUTH": offer}), ANN, secure, address)
    try:
        return steps, next(steps)
    except StopIteration as ended:
        return steps, ended.value


def test_a_password_is_shown_to_nobody_unknown():
    """RFC 4954 section 14: not in clear, nor to a server that was not verified; SCRAM does not show it."""
    from mether.net.tls import Security

    _, (reply, said) = step("PLAIN LOGIN")
    assert (reply.code, said) == (454, False)
    assert "not shown without TLS and a verified certificate" in reply.text
    _, (reply, _) = step("PLAIN", secure=Security("TLSv1.3", "x"))
    assert reply.code == 454
    assert step("PLAIN", secure=Security("TLSv1.3", "x", verified=True))[1][0] == "AUTH"
    assert step("PLAIN SCRAM-SHA-256")[1][1].startswith(b"AUTH SCRAM-SHA-256 ")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "/run/lmtp"])
def test_this_host_alone_needs_no_tls(address: str):
    assert step("PLAIN", address)[1] == ("AUTH", b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")


def test_an_exchange_that_makes_no_sense_is_ended():
    """AUT: with "*", once; a server that goes on all the same is left."""
    steps, first = step("PLAIN", "127.0.0.1")
    assert first[0] == "AUTH"
    assert steps.send(Reply(334, None, "eHg=")) == ("RESPONSE", b"*\r\n")
    with pytest.raises(StopIteration) as ended:
        steps.send(Reply(334, None, "eHg="))
    reply, said = ended.value.value
    assert (reply.code, said) == (454, False)
    steps, _ = step("PLAIN", "127.0.0.1")
    assert steps.send(Reply(334, None, "not base64"))[1] == b"*\r\n"
    with pytest.raises(StopIteration) as ended:
        steps.send(Reply(501, "5.7.0", "cancelled"))
    assert "is broken" in ended.value.value[0].text


def test_what_is_watched_shows_no_secret():
    """smtp -v: the mechanism, and never what follows."""
    lines: list[tuple[str, str]] = []
    server = SecureServer(clear=("AUTH LOGIN PLAIN",), passwords={"ann": "secret"})

    async def work(client: Both) -> None:
        await client.hello(ME)
        for mechanism in ("LOGIN", "PLAIN"):
            reply, _ = await client.login(Credentials("ann", "secret", mechanisms=[mechanism]))
            assert reply.ok

    drive("blocking", server, work, watch=lines)
    sent = [text for direction, text in lines if direction == "->"]
    assert sent == [f"EHLO {ME}", "AUTH LOGIN", "(secret)", "(secret)", "AUTH PLAIN (secret)", "QUIT"]


@pytest.mark.parametrize(
    ("offer", "lines"),
    [
        ("PLAIN", ("you said AUTH PLAIN AGFubgBzZWNyZXQ=",)),
        ("PLAIN", ("what is", "AGFubgBz", "ZWNyZXQ=?")),
        ("PLAIN", ("unknown: AGFubgBz...",)),
        ("PLAIN", ("'secret' is no password of ann's",)),
        ("LOGIN", ("what is c2VjcmV0?",)),
    ],
)
def test_a_refusal_that_shows_our_credentials_has_no_words(offer: str, lines: tuple[str, ...]):
    """AUT: what a server says goes to the log, the queue and the sender."""
    steps, _ = step(offer, "127.0.0.1")
    reply = Reply(535, "5.7.8", *lines)
    if offer == "LOGIN":
        steps.send(Reply(334, None, "VXNlcm5hbWU6"))
        steps.send(Reply(334, None, "UGFzc3dvcmQ6"))
    with pytest.raises(StopIteration) as ended:
        steps.send(reply)
    shown, said = ended.value.value
    assert said
    assert str(shown) == "535 5.7.8 (its words show our credentials, and are left out)"


def test_a_refusal_keeps_its_words():
    steps, _ = step("PLAIN", "127.0.0.1")
    reply = Reply(535, "5.7.8", "ann must log in with", "an application password")
    with pytest.raises(StopIteration) as ended:
        steps.send(reply)
    assert ended.value.value == (reply, True)
