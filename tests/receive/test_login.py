"""AUTH in a session: who is heard, what is offered, and what failures cost."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import certificates
import pytest

from mether.auth.authenticator import Authenticator
from mether.auth.throttle import Throttle
from mether.net.certificate import Certificate
from mether.net.tls import Security
from mether.receive.login import BLOCKED, TLS_FIRST, TOO_MANY, Authentication, Login
from mether.reply import Reply
from mether.routing.networks import Networks
from mether.smtp import sasl

TLS = Security("TLSv1.3", "TLS_AES_256_GCM_SHA384", own=Certificate(certificates.der("mx.example.com")))


def plain(login: str, password: str) -> str:
    return "PLAIN " + b64encode(f"\0{login}\0{password}".encode()).decode()


class Backend:
    """Knows ann's password."""

    passwords, keys, tokens, iterations = True, False, True, 0

    async def ask(self, question: Any, remote: str = "") -> sasl.Answer:
        assert remote == "192.0.2.7"
        known = getattr(question, "password", "") == "secret" and question.login == "ann"
        return sasl.ACCEPTED if known else sasl.REJECTED

    async def close(self) -> None:
        pass


class Place:
    """What the sessions of a listener share; `waits` are the answers that are held back."""

    def __init__(self, *, limit: int = 10, session: int = 3) -> None:
        self.now = 0.0
        self.waits: list[tuple[float, Callable[[], None]]] = []
        authenticator: Any = Authenticator([Backend()], random=bytes, complain=lambda line: None)
        # The answers come at once, as if the backends had no work to do.
        authenticator.ask = lambda question, done, *, remote="": done(
            asyncio.run(authenticator.answer(question, remote=remote))
        )
        self.shared = Authentication(
            authenticator,
            Throttle(limit=limit),
            clear_from=Networks(["10.0.0.0/8"]),
            may_use=lambda login, sender: True,
            later=lambda wait, call: self.waits.append((wait, call)),
            clock=lambda: self.now,
            max_failures=session,
        )


class Client:
    """One session's logins; `said` holds the replies as they come."""

    def __init__(self, place: Place, address: str = "192.0.2.7") -> None:
        self.place = place
        self.address = address
        self.said: list[Reply] = []
        self.login = ""
        self.failures = 0
        self.exchange: Login | None = None

    def auth(self, argument: str, security: Security | None = TLS) -> None:
        self.exchange = Login(
            self.place.shared,
            self.address,
            decided=self.said.append,
            logged_in=self.logged_in,
            failed=self.failed,
        )
        self.hear(self.exchange.begin(argument, security))

    def respond(self, line: str) -> None:
        assert self.exchange is not None
        self.hear(self.exchange.respond(line))

    def hear(self, reply: Reply | None) -> None:
        if reply is not None:
            self.said.append(reply)

    def logged_in(self, login: str) -> None:
        self.login = login

    def failed(self, reply: Reply) -> Reply:
        self.failures += 1
        return TOO_MANY if self.failures >= self.place.shared.max_failures else reply

    def codes(self) -> list[int]:
        return [reply.code for reply in self.said]


def test_a_login() -> None:
    """AUT-4: 235 2.7.0"""
    client = Client(Place())
    client.auth(plain("ann", "secret"))
    assert client.said == [sasl.SUCCESS]
    assert client.login == "ann"


def test_an_exchange_knows_who_the_client_says_that_it_is() -> None:
    """AUT-5: for the log, also where it fails; a mechanism that does not exist is none."""
    client = Client(Place())
    client.auth(plain("ann", "wrong"))
    assert client.exchange is not None
    assert (client.exchange.mechanism, client.exchange.name) == ("PLAIN", "ann")
    client.auth("login")
    assert (client.exchange.mechanism, client.exchange.name) == ("LOGIN", "")
    client.auth("NONE =")
    assert (client.exchange.mechanism, client.exchange.name) == ("", "")


def test_a_failure_is_answered_later_each_time() -> None:
    """AUT-5: guessing takes its time; no answer comes before that, and then the same one."""
    place = Place()
    client = Client(place)
    waits = []
    for _ in range(2):
        client.auth(plain("ann", "guess"))
        assert client.said == []
        wait, answer = place.waits.pop()
        waits.append(wait)
        answer()
        assert client.said.pop() == sasl.REJECTION
    assert 0 < waits[0] < waits[1]
    assert client.login == ""


def test_the_third_failure_ends_the_session() -> None:
    """AUT-5: and none before it does."""
    place = Place()
    client = Client(place)
    for _ in range(3):
        client.auth(plain("ann", "guess"))
        place.waits.pop()[1]()
    assert client.codes() == [535, 535, 421]


def test_an_address_is_blocked_until_its_failures_are_forgotten() -> None:
    """SEC-5: whatever it connects with, and however good the password; others are heard."""
    place = Place(limit=2, session=100)
    for _ in range(2):
        Client(place).auth(plain("ann", "guess"))
    other = Client(place)
    other.auth(plain("ann", "secret"))
    assert other.said == [BLOCKED]
    place.now += 3600.0
    other.auth(plain("ann", "secret"))
    assert other.said[-1] == sasl.SUCCESS


def test_a_client_that_went_away_is_not_answered() -> None:
    place = Place()
    client = Client(place)
    client.auth(plain("ann", "guess"))
    assert client.exchange is not None
    client.exchange.over = True
    place.waits.pop()[1]()
    assert client.said == []


@pytest.mark.parametrize("argument", [plain("ann", "secret"), "PLAIN", "LOGIN", "NONE"])
def test_nothing_in_clear(argument: str) -> None:
    """AUT-1: not even a mechanism's name is judged."""
    client = Client(Place())
    client.auth(argument, None)
    assert client.said == [TLS_FIRST]


def test_a_trusted_network_may_log_in_in_clear() -> None:
    """AUT-1: the configuration says which."""
    place = Place()
    assert place.shared.mechanisms("192.0.2.7", None) == ()
    assert "PLAIN" in place.shared.mechanisms("10.1.2.3", None)
    client = Client(place, "10.1.2.3")
    client.auth("LOGIN", None)
    assert client.codes() == [334]


def test_what_is_offered_follows_from_the_connection() -> None:
    """AUT-2, AUT-8: EXTERNAL needs a certificate that was verified and names somebody."""
    shared = Place().shared
    assert "EXTERNAL" not in shared.mechanisms("192.0.2.7", TLS)
    der = certificates.der("ann@example.com")
    unverified = Security("TLSv1.3", "x", der=der)
    assert "EXTERNAL" not in shared.mechanisms("192.0.2.7", unverified)
    verified = Security("TLSv1.3", "x", der=der, verified=True)
    assert "EXTERNAL" in shared.mechanisms("192.0.2.7", verified)


@pytest.mark.parametrize("name", ["ann@example.com", ""])
def test_external_takes_the_name_of_the_certificate(name: str) -> None:
    """Its first address, or its common name."""
    der = certificates.der(name) if name else certificates.der("host.example", common_name="Ann")
    client = Client(Place())
    client.auth("EXTERNAL =", Security("TLSv1.3", "x", der=der, verified=True))
    assert client.said == [sasl.SUCCESS]
    assert client.login == (name or "Ann")


@pytest.mark.parametrize(
    ("line", "reply"), [("*", sasl.CANCELLED), ("AB", sasl.BAD_BASE64), ("caf\xe9", sasl.BAD_BASE64)]
)
def test_a_line_that_ends_the_exchange(line: str, reply: Reply) -> None:
    """AUT-3: and is no failed login."""
    client = Client(Place())
    client.auth("PLAIN")
    client.respond(line)
    assert client.codes() == [334, reply.code]
    assert client.said[-1] == reply
    assert client.failures == 0


def test_a_mechanism_that_is_not_offered() -> None:
    """AUT-2: 504 5.5.4"""
    client = Client(Place())
    client.auth("SCRAM-SHA-256")
    client.auth("CRAM-MD5")
    assert client.said == [sasl.UNKNOWN_MECHANISM] * 2


def test_guesses_at_once_gain_nothing_over_guesses_in_turn() -> None:
    """AUT-5: connections that all begin before the first has failed; of those too many even the right guess
    is told nothing."""
    place = Place(limit=3)
    authenticator: Any = place.shared.authenticator
    asked: list[tuple[Any, Callable[[sasl.Answer], None]]] = []
    authenticator.ask = lambda question, done, *, remote="": asked.append((question, done))
    clients = [Client(place) for _ in range(20)]
    for number, client in enumerate(clients):
        client.auth(plain("ann", "secret" if number == 19 else f"guess {number}"))
    for question, done in asked:
        done(asyncio.run(authenticator.answer(question, remote="192.0.2.7")))
    for _, call in place.waits:
        call()
    assert [client.codes() for client in clients] == [[535]] * 3 + [[454]] * 17
    assert clients[19].login == ""


def test_an_exchange_under_way_ends_when_its_address_is_blocked() -> None:
    """AUT-5: nor does it help to have begun before"""
    place = Place(limit=1)
    patient = Client(place)
    patient.auth("PLAIN")
    other = Client(place)
    other.auth(plain("ann", "guess"))
    patient.respond(b64encode(b"\0ann\0secret").decode())
    assert patient.said[-1] == BLOCKED
    assert patient.login == ""
