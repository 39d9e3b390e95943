"""The authenticator: what it offers, whom it asks, and that whoever asks is answered once."""

import asyncio

import pytest

from mether.auth.authenticator import Authenticator
from mether.smtp.sasl import (
    ACCEPTED,
    DISABLED,
    REJECTED,
    TEMPORARY,
    Challenge,
    CheckPassword,
    CheckToken,
    Done,
    FindKeys,
    SaslError,
)
from mether.smtp.sasl_scram import keys as scram_keys


class Fixed:
    """A backend that always says the same."""

    iterations = 4096

    def __init__(self, answer=REJECTED, *, passwords=True, keys=False, tokens=False):
        self.answer, self.passwords, self.keys, self.tokens = answer, passwords, keys, tokens
        self.asked = []
        self.closed = False

    async def ask(self, question, remote=""):
        self.asked.append((question.login, remote))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        return self.answer

    async def close(self):
        self.closed = True


def users(*backends, said=None, **named):
    said = [] if said is None else said
    return Authenticator(backends, random=bytes, complain=said.append, **named)


class TestMechanisms:
    def offered(self, authenticator, secure=True, certificate=False, binding=False):
        return authenticator.mechanisms(secure=secure, certificate=certificate, binding=binding)

    def test_plaintext_only_where_it_is_secure(self):
        """AUT-1: no plaintext mechanism without TLS; the list differs after STARTTLS."""
        all_ = users(Fixed(keys=True, tokens=True))
        assert self.offered(all_) == ("SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN")
        assert self.offered(all_, secure=False) == ("SCRAM-SHA-256",)
        assert self.offered(all_, binding=True)[0] == "SCRAM-SHA-256-PLUS"
        assert "EXTERNAL" in self.offered(all_, certificate=True)

    def test_only_what_a_backend_can_answer(self):
        assert self.offered(users(Fixed())) == ("PLAIN", "LOGIN")
        assert self.offered(users(Fixed()), secure=False) == ()
        assert self.offered(users(Fixed(passwords=False, tokens=True))) == ("OAUTHBEARER", "XOAUTH2")
        assert self.offered(users()) == ()
        keys_alone = Fixed(passwords=False, keys=True)
        assert self.offered(users(keys_alone, Fixed(keys=True)))[0] == "SCRAM-SHA-256"

    def test_no_scram_where_a_backend_has_passwords_alone(self):
        """Its users would be locked out by every client that prefers SCRAM."""
        assert self.offered(users(Fixed(), Fixed(keys=True))) == ("PLAIN", "LOGIN")

    def test_the_configuration_may_allow_fewer(self):
        assert self.offered(users(Fixed(keys=True), allowed=["plain"])) == ("PLAIN",)

    def test_what_is_not_offered_is_504(self):
        """AUT-2: so a client cannot have by asking what EHLO does not show."""
        for mechanism, secure in (("PLAIN", False), ("EXTERNAL", True), ("SCRAM-SHA-256", True), ("X", True)):
            with pytest.raises(SaslError) as caught:
                users(Fixed()).exchange(mechanism, secure=secure, binding=b"x", certificate=None)
            assert caught.value.reply.code == 504

    def test_without_plus_the_flag_y_is_fine(self):
        """RFC 5802 section 6: it fails only where -PLUS was really offered."""
        for allowed, fine in ((["SCRAM-SHA-256"], True), (None, False)):
            authenticator = users(Fixed(keys=True), allowed=allowed)
            exchange = authenticator.exchange("SCRAM-SHA-256", secure=True, binding=b"x", certificate=None)
            assert isinstance(exchange.begin(b"y,,n=ann,r=abc"), FindKeys) is fine

    def test_an_unknown_login_gets_the_count_that_the_others_have(self):
        exchange = users(Fixed(keys=True)).exchange(
            "SCRAM-SHA-256", secure=True, binding=None, certificate=None
        )
        exchange.begin(b"n,,n=ann,r=abc")
        assert exchange.answer(REJECTED).data.endswith(b",i=4096")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answers", "answer", "asked"),
    [
        ((ACCEPTED, REJECTED), ACCEPTED, 1),
        ((REJECTED, ACCEPTED), ACCEPTED, 2),
        ((TEMPORARY, ACCEPTED), ACCEPTED, 2),
        ((REJECTED, TEMPORARY, REJECTED), TEMPORARY, 3),
        ((TEMPORARY, DISABLED, REJECTED), DISABLED, 3),
        ((REJECTED, REJECTED), REJECTED, 2),
        ((OSError("x"), REJECTED), TEMPORARY, 2),
        ((), REJECTED, 0),
    ],
)
async def test_the_first_that_accepts_decides(answers, answer, asked):
    backends = [Fixed(each) for each in answers]
    said = []
    assert await users(*backends, said=said).answer(CheckPassword("ann", "p"), remote="192.0.2.1") is answer
    assert sum(len(backend.asked) for backend in backends) == asked
    assert said == (["Fixed: internal error: x"] if any(isinstance(a, OSError) for a in answers) else [])


@pytest.mark.asyncio
async def test_only_those_that_can_answer_are_asked():
    passwords, keys, tokens = Fixed(), Fixed(keys=True, passwords=False), Fixed(tokens=True, passwords=False)
    authenticator = users(passwords, keys, tokens)
    for question in (CheckPassword("p", "p"), FindKeys("k"), CheckToken("t", "t")):
        await authenticator.answer(question)
    assert (passwords.asked, keys.asked, tokens.asked) == ([("p", "")], [("k", "")], [("t", "")])


@pytest.mark.asyncio
async def test_ask_calls_back_once_on_the_loop():
    answers = asyncio.Queue()
    authenticator = users(Fixed(ACCEPTED))
    authenticator.ask(CheckPassword("ann", "p"), answers.put_nowait, remote="192.0.2.1")
    assert answers.empty()  # never before ask returns
    assert await answers.get() is ACCEPTED
    await authenticator.close()
    assert answers.empty()


@pytest.mark.asyncio
async def test_a_backend_that_says_nothing_is_temporary():
    answers, said = asyncio.Queue(), []
    users(Fixed(None), said=said, limit=0).ask(CheckPassword("ann", "geheim"), answers.put_nowait)
    assert await answers.get() is TEMPORARY
    assert said == ["no answer about 'ann' within 0 seconds"]


@pytest.mark.asyncio
@pytest.mark.parametrize("begun", [True, False])
async def test_closing_answers_whoever_waits(begun):
    answers, backend = [], Fixed(None)
    authenticator = users(backend)
    authenticator.ask(CheckPassword("ann", "p"), answers.append)
    if begun:
        await asyncio.sleep(0)
    await authenticator.close()
    assert answers == [TEMPORARY]
    assert backend.closed


@pytest.mark.asyncio
async def test_a_whole_exchange():
    """AUT-8 with a backend behind it, as a session drives it."""
    from mether.smtp.sasl import Answer
    from mether.smtp.sasl_client import Credentials, choose

    kept = scram_keys("pencil", b"0123456789abcdef", 4096)
    authenticator = users(Fixed(Answer.found(kept), keys=True))
    offered = authenticator.mechanisms(secure=True, certificate=False, binding=True)
    client = choose(offered, Credentials("ann", "pencil"), secure=True, binding=b"x", random=bytes)
    server = authenticator.exchange(client.mechanism, secure=True, binding=b"x", certificate=None)
    step = server.begin(client.initial)
    while not isinstance(step, Done):
        if isinstance(step, Challenge):
            step = server.respond(client.respond(step.data))
        else:
            step = server.answer(await authenticator.answer(step))
    assert (client.mechanism, client.finished, step.login) == ("SCRAM-SHA-256-PLUS", True, "ann")
