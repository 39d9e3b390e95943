"""Dovecot's auth-client protocol, spoken with a server of a few lines."""

import asyncio
import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.auth.dovecot import WAITING, Dovecot, escape, request, unescape, verdict
from mether.smtp.sasl import DISABLED, REJECTED, TEMPORARY, CheckPassword, CheckToken, FindKeys

GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tOAUTHBEARER\nSPID\t17\nCUID\t1\nCOOKIE\tabc\nDONE\n"
ANN = CheckPassword("ann", "secret")


class Server:
    """Answers each line with what `answers` gives for its words."""

    def __init__(self, path, answers, greeting=GREETING):
        self.path = path
        self.answers = answers
        self.greeting = greeting
        self.lines = []
        self.connections = 0
        self.writers = []

    async def __aenter__(self):
        self.server = await asyncio.start_unix_server(self.serve, self.path)
        return self

    async def __aexit__(self, *exc):
        self.server.close()
        self.drop()

    def drop(self):
        for writer in self.writers:
            writer.close()

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        with suppress(asyncio.CancelledError, ConnectionError):
            await self.converse(reader, writer)

    async def converse(self, reader, writer):
        writer.write(self.greeting)
        while line := await reader.readline():
            words = line.decode().rstrip("\n").split("\t")
            self.lines.append(words)
            if words[0] in ("AUTH", "CONT"):
                answer = self.answers(words)
                if answer is not None:
                    writer.write(answer)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "auth-client")


@pytest.fixture
def said():
    return []


def by_password(words):
    mechanism, response = words[2], base64.b64decode(words[-1].removeprefix("resp="))
    assert mechanism == "PLAIN"
    _, login, password = response.split(b"\0")
    if password == b"secret":
        return b"OK\t%s\tuser=%s@x.test\toriginal_user=ann\n" % (words[1].encode(), login)
    return b"FAIL\t%s\tuser=%s\n" % (words[1].encode(), login)


@pytest.mark.asyncio
async def test_passwords(path, said):
    async with Server(path, by_password) as server:
        dovecot = Dovecot(path, complain=said.append)
        answer = await dovecot.ask(ANN, "192.0.2.1")
        assert (answer.verdict, answer.login) == ("accepted", "ann@x.test")
        assert await dovecot.ask(CheckPassword("ann", "wrong")) is REJECTED
        assert await dovecot.ask(FindKeys("ann")) is REJECTED
        assert await dovecot.ask(CheckPassword("ann", "x" * 9000)) is REJECTED
        await dovecot.close()
    assert server.connections == 1
    assert [line[0] for line in server.lines] == ["VERSION", "CPID", "AUTH", "AUTH"]
    assert server.lines[0] == ["VERSION", "1", "1"]
    assert server.lines[2][2:6] == ["PLAIN", "service=smtp", "secured", "rip=192.0.2.1"]
    assert server.lines[2][-1].startswith("resp=")
    assert said == []


@pytest.mark.asyncio
async def test_many_at_once_share_the_connection(path, said):
    kept = []

    def late(words):
        kept.append(words)
        if len(kept) < 3:
            return None
        return b"".join(by_password(each) for each in reversed(kept))

    async with Server(path, late) as server:
        dovecot = Dovecot(path, complain=said.append)
        answers = await asyncio.gather(*(dovecot.ask(CheckPassword(f"u{i}", "secret")) for i in range(3)))
        assert [answer.login for answer in answers] == ["u0@x.test", "u1@x.test", "u2@x.test"]
        assert server.connections == 1
        await dovecot.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(("mechanism", "dummy"), [("OAUTHBEARER", "AQ=="), ("XOAUTH2", "")])
async def test_a_token_that_is_refused(path, said, mechanism, dummy):
    """RFC 7628 section 3.2.3: the JSON, the dummy, and then the failure."""

    def answers(words):
        if words[0] == "AUTH":
            return b"CONT\t%s\teyJzdGF0dXMiOiI0MDEifQ==\n" % words[1].encode()
        return b"FAIL\t%s\n" % words[1].encode()

    async with Server(path, answers) as server:
        dovecot = Dovecot(path, complain=said.append, tokens=True)
        assert await dovecot.ask(CheckToken("ann", "tok", mechanism)) is REJECTED
        assert server.lines[-1] == ["CONT", "1", dummy]
        await dovecot.close()


@pytest.mark.asyncio
async def test_it_connects_again(path, said):
    async with Server(path, by_password) as server:
        dovecot = Dovecot(path, complain=said.append)
        await dovecot.ask(ANN)
        server.answers = lambda words: server.drop()
        assert await dovecot.ask(ANN) is TEMPORARY
        server.answers = by_password
        assert (await dovecot.ask(ANN)).verdict == "accepted"
        assert server.connections == 2
        await dovecot.close()
    assert said == [f"{path}: Dovecot closed the connection"]


@pytest.mark.asyncio
async def test_nobody_there(path, said):
    assert await Dovecot(path, complain=said.append).ask(ANN) is TEMPORARY
    assert said == [f"{path}: No such file or directory"]


@pytest.mark.asyncio
async def test_no_answer_in_time(path, said):
    async with Server(path, lambda words: None):
        dovecot = Dovecot(path, complain=said.append, limit=0.05)
        assert await dovecot.ask(ANN) is TEMPORARY
        assert said == [f"{path}: no answer within 0.05 seconds"]
        await dovecot.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"VERSION\t2\t0\nDONE\n", "version 2.0 of the protocol; expected 1"),
        (b"220 smtp\r\n" * 300, "not an auth-client socket"),
        (b"DONE\n", "no VERSION"),
        (b"x" * 20000, "more than 8192 octets"),
    ],
)
async def test_who_is_not_dovecot(path, said, greeting, words):
    async with Server(path, by_password, greeting):
        assert await Dovecot(path, complain=said.append).ask(ANN) is TEMPORARY
        assert words in said[0]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "noise", [b"OK\n", b"OK\tx\n", b"OK\t99\tuser=x\n", b"\n", b"\xff\n", b"OK\t" + b"9" * 6000 + b"\n"]
)
async def test_odd_lines_are_passed_over(path, said, noise):
    async with Server(path, lambda words: noise + by_password(words)):
        dovecot = Dovecot(path, complain=said.append)
        assert (await dovecot.ask(ANN)).login == "ann@x.test"
        await dovecot.close()


@pytest.mark.asyncio
async def test_too_many_at_once(path, said):
    async with Server(path, lambda words: None):
        dovecot = Dovecot(path, complain=said.append)
        tasks = [asyncio.ensure_future(dovecot.ask(ANN)) for _ in range(WAITING)]
        await asyncio.sleep(0)
        assert await dovecot.ask(ANN) is TEMPORARY
        assert said == [f"{path}: more than {WAITING} logins at once"]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await dovecot.close()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("FAIL\t1\tuser=ann", REJECTED),
        ("FAIL\t1\tuser=ann\ttemp", TEMPORARY),
        ("FAIL\t1\tcode=temp_fail", TEMPORARY),
        ("FAIL\t1\tuser=ann\tuser_disabled", DISABLED),
        ("FAIL\t1\tcode=pass_expired", DISABLED),
    ],
)
def test_what_a_failure_means(line, answer):
    assert verdict(line.split("\t")) is answer


@given(st.text("ab\x01\t\r\n\0", max_size=10))
def test_words_are_escaped(text):
    assert unescape(escape(text)) == text
    assert not set(escape(text)) & set("\t\r\n\0")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_request_is_one_line(login, password, remote):
    try:
        line = request(1, CheckPassword(login, password), remote)
    except UnicodeEncodeError:
        return
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.rstrip(b"\n").rpartition(b"\t")[2].startswith(b"resp=")
