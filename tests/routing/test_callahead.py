"""Call-aheads: sessions with a real client against a server that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mether.client.connect import connect
from mether.client.session import Lost, Timeouts
from mether.client.stream import StreamClient
from mether.outcome import Route
from mether.reply import Reply
from mether.routing import callahead
from mether.routing.callahead import CallAhead, NoSession, verdict
from mether.routing.source import Needs, TableError, awaited


class Server:
    """Answers RCPT from `replies`, and everything else as well as can be; `said` is what it was told."""

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.mail = "250 2.1.0 ok"
        self.offer = "250 SMTPUTF8"
        self.said: list[str] = []
        self.sessions = 0
        self.most = 0
        self.open = 0
        self.hold: asyncio.Event | None = None
        self.down = False
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        self.open += 1
        self.most = max(self.most, self.open)
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            self.said.append(line)
            verb = line.split()[0]
            answer = "250 ok"
            if verb == "LHLO":
                answer = f"250-here\r\n{self.offer}"
            elif verb == "MAIL":
                answer = self.mail
            elif verb == "RCPT":
                if self.hold is not None:
                    await self.hold.wait()
                answer = self.replies.get(line[9:-1], "550 5.1.1 nobody")
            elif verb == "QUIT":
                break
            if not answer:
                break
            writer.write(answer.encode() + b"\r\n")
        self.open -= 1
        writer.close()

    async def session(self, route: Route) -> StreamClient:
        assert route.next_hop == "[127.0.0.1]"
        if self.down:
            raise Lost("connect", "", "connecting to 127.0.0.1: Connection refused")
        client = await connect(asyncio.get_running_loop(), "127.0.0.1", self.port, Timeouts())
        if not (reply := await client.hello("tests.example.org", lmtp=True)).ok:
            raise NoSession(str(reply))
        return client


class Time:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(server: Server, clock: Time, work: Callable[[CallAhead], Coroutine[Any, Any, None]]) -> None:
    """Do the work with the server running."""

    async def main() -> None:
        listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        users = CallAhead(lambda domain: Route("lmtp", "[127.0.0.1]"), server.session, clock=clock)
        try:
            await work(users)
        finally:
            listening.close()
            await listening.wait_closed()
            while server.open:
                await asyncio.sleep(0)

    asyncio.run(main())


async def look_up(users: CallAhead, key: str) -> str | None:
    return await awaited(lambda: users.get(key))


def test_the_host_is_asked_as_a_report_would_be_sent_and_no_further() -> None:
    server, clock = Server(), Time()
    server.replies["ann@example.org"] = "250 2.1.5 ok"

    async def work(users: CallAhead) -> None:
        with pytest.raises(Needs):
            users.get("ann@example.org")
        assert await look_up(users, "ann@example.org") == ""
        assert await look_up(users, "bob@example.org") is None
        assert users.get("ann@example.org") == "" and users.get("bob@example.org") is None

    run(server, clock, work)
    assert server.said[:4] == [
        "LHLO tests.example.org",
        "MAIL FROM:<>",
        "RCPT TO:<ann@example.org>",
        "QUIT",
    ]
    assert server.sessions == 2 and not any(line.startswith("DATA") for line in server.said)


@pytest.mark.parametrize("key", ["ann", "@example.org", "example.org", ".org"])
def test_only_an_address_can_be_asked_about(key: str) -> None:
    async def nobody(route: Route) -> StreamClient:
        raise AssertionError("asked")

    assert CallAhead(lambda domain: Route("smtp", domain), nobody).get(key) is None


def test_answers_hold_for_their_time() -> None:
    """One who was removed makes bounces for an hour only, and a new one is there in five minutes."""
    server, clock = Server(), Time()
    server.replies["ann@example.org"] = "250 ok"

    async def work(users: CallAhead) -> None:
        await look_up(users, "ann@example.org")
        await look_up(users, "bob@example.org")
        server.replies = {"bob@example.org": "250 ok"}
        clock.now = callahead.NOBODY
        assert await look_up(users, "bob@example.org") == ""
        assert users.get("ann@example.org") == ""
        clock.now = callahead.HERE
        assert await look_up(users, "ann@example.org") is None

    run(server, clock, work)


@pytest.mark.parametrize("how", ["451 4.3.0 later", "MAIL", "lost", "down", "550 5.7.1 relaying denied"])
def test_what_says_nothing_of_the_recipient_defers_for_some_seconds(how: str) -> None:
    """Never a bounce for our own trouble, or the host's; which is told in the same words for all, so that the
    log has it once a minute."""
    server, clock = Server(), Time()
    server.mail = {"MAIL": "550 5.7.1 no reports here", "lost": ""}.get(how, server.mail)
    server.replies["ann@example.org"] = how
    server.down = how == "down"

    async def work(users: CallAhead) -> None:
        with pytest.raises(TableError, match="callahead: ") as trouble:
            await look_up(users, "ann@example.org")
        assert ("ann@example.org" in str(trouble.value)) is (how[0] in "45")
        with pytest.raises(TableError):
            users.get("ann@example.org")
        server.mail, server.replies, server.down = "250 ok", {"ann@example.org": "250 ok"}, False
        clock.now = callahead.UNKNOWN
        assert await look_up(users, "ann@example.org") == ""

    run(server, clock, work)


def test_who_was_here_is_here_while_the_host_is_down() -> None:
    """His mail can wait in the queue; a stranger's waits with whoever sends it."""
    server, clock = Server(), Time()
    server.replies["ann@example.org"] = "250 ok"

    async def work(users: CallAhead) -> None:
        await look_up(users, "ann@example.org")
        server.down = True
        clock.now = callahead.ONCE - 1
        assert await look_up(users, "ann@example.org") == ""
        with pytest.raises(TableError):
            await look_up(users, "bob@example.org")
        clock.now = callahead.ONCE + callahead.UNKNOWN
        with pytest.raises(TableError):
            await look_up(users, "ann@example.org")

    run(server, clock, work)


def test_who_is_refused_was_not_here() -> None:
    server, clock = Server(), Time()
    server.replies["ann@example.org"] = "250 ok"

    async def work(users: CallAhead) -> None:
        await look_up(users, "ann@example.org")
        clock.now = callahead.HERE
        server.replies = {}
        assert await look_up(users, "ann@example.org") is None
        clock.now += callahead.NOBODY
        server.down = True
        with pytest.raises(TableError):
            await look_up(users, "ann@example.org")

    run(server, clock, work)


def test_one_question_for_an_address_and_so_many_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callahead, "IN_FLIGHT", 3)
    monkeypatch.setattr(callahead, "WAITING", 8)
    server, clock = Server(), Time()

    async def work(users: CallAhead) -> None:
        server.hold = asyncio.Event()
        keys = [f"u{n % 8}@example.org" for n in range(40)]
        tasks = [asyncio.create_task(look_up(users, key)) for key in keys]
        while sum(line.startswith("RCPT") for line in server.said) < 3:
            await asyncio.sleep(0)
        with pytest.raises(TableError, match="8 questions are in hand already"):
            await look_up(users, "u9@example.org")
        server.hold.set()
        assert await asyncio.gather(*tasks) == [None] * 40

    run(server, clock, work)
    assert server.sessions == 8 and server.most <= 4


def test_who_gives_up_waiting_takes_the_answer_from_nobody() -> None:
    server, clock = Server(), Time()

    async def work(users: CallAhead) -> None:
        server.hold = asyncio.Event()
        impatient = asyncio.create_task(look_up(users, "ann@example.org"))
        patient = asyncio.create_task(look_up(users, "ann@example.org"))
        while not any(line.startswith("RCPT") for line in server.said):
            await asyncio.sleep(0)
        impatient.cancel()
        server.hold.set()
        assert await patient is None

    run(server, clock, work)


def test_a_host_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callahead, "LIMIT", 0.1)
    server, clock = Server(), Time()

    async def work(users: CallAhead) -> None:
        server.hold = asyncio.Event()
        with pytest.raises(TableError, match=r"no answer within 0\.1 s"):
            await look_up(users, "ann@example.org")
        server.hold.set()

    run(server, clock, work)


def test_who_comes_after_many_questions_that_are_not_answered_is_told_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 5321 section 4.5.3.2.3: a client waits for the answer to RCPT for five minutes."""
    monkeypatch.setattr(callahead, "LIMIT", 0.1)
    monkeypatch.setattr(callahead, "IN_FLIGHT", 1)
    server, clock = Server(), Time()

    async def work(users: CallAhead) -> None:
        server.hold = asyncio.Event()
        answers = await asyncio.gather(
            *(look_up(users, f"u{number}@example.org") for number in range(20)), return_exceptions=True
        )
        assert all(isinstance(answer, TableError) for answer in answers)
        assert server.sessions <= 2, "the others were not held up by those before them"
        server.hold.set()

    run(server, clock, work)


def test_a_name_that_the_host_cannot_be_told_is_not_there() -> None:
    server, clock = Server(), Time()
    server.replies["jörg@example.org"] = "250 ok"

    async def work(users: CallAhead) -> None:
        assert await look_up(users, "jörg@example.org") == ""
        assert "MAIL FROM:<> SMTPUTF8" in server.said
        server.offer = "250 PIPELINING"
        assert await look_up(users, "jürg@example.org") is None

    run(server, clock, work)


def test_a_name_in_need_of_quotes_gets_them() -> None:
    server, clock = Server(), Time()
    server.replies['"odd name"@example.org'] = "250 ok"

    async def work(users: CallAhead) -> None:
        assert await look_up(users, "odd name@example.org") == ""

    run(server, clock, work)


@pytest.mark.parametrize(
    ("reply", "here"),
    [
        (Reply(250, "2.1.5", "ok"), True),
        (Reply(251, None, "forwarded"), True),
        (Reply(550, "5.1.1", "no such user"), False),
        (Reply(550, None, "no"), False),
        (Reply(553, "5.1.3", "bad"), False),
        (Reply(550, "5.2.1", "disabled"), False),
        (Reply(550, "5.4.1", "access denied"), False),
        (Reply(552, "5.2.2", "full"), True),
        (Reply(552, None, "full"), True),
        (Reply(550, "5.2.2", "full"), True),
        (Reply(554, "5.7.1", "relaying denied"), None),
        (Reply(503, "5.5.1", "sequence"), None),
        (Reply(501, None, "syntax"), None),
        (Reply(530, "5.7.0", "log in"), None),
        (Reply(450, "4.2.0", "greylisted"), None),
        (Reply(421, None, "closing"), None),
    ],
)
def test_what_a_reply_says_of_the_recipient(reply: Reply, here: bool | None) -> None:
    assert verdict(reply) is here
