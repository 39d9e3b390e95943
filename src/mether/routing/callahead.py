"""Who is here, by asking the host that has the mailboxes: a session that ends after RCPT.

For mail to a route that leads on to another host (LMTP on this machine, or the mail store behind a gateway),
the host that will get it knows best whom it takes mail for.  `CallAhead` asks as a report would be sent, with
the null reverse-path, and the answers are

======================================  ============================================================
2yz to RCPT                             the recipient is here
552, or 5.2.2 and 5.2.3                 here too: its mailbox is full, or takes no mail of that size
55z otherwise                           nobody of that name (550 5.1.1 to whoever asked us)
anything else                           not known: 4yz, 5.7.z and 5.3.z say something of the host, or of
                                        us; so do a refused MAIL, a lost session and no session at all
======================================  ============================================================

An answer is kept in memory.  `HERE`: asked again after an hour, less than the month for which others keep it
on disk, so that a mailbox which was removed makes bounces for an hour only.  `NOBODY`: five minutes, so that
a new one is there soon.  `UNKNOWN`: some seconds, in which every recipient gets 451 and the host some rest;
whoever was here within `ONCE`, a week, is taken for here meanwhile, since mail for him can wait in our queue
until the host is back.

`get` raises Needs until `learn` has asked.  There is one question for an address at a time, and `IN_FLIGHT`
for a route, each with `LIMIT` seconds, and as many in the line before; beyond `WAITING` of them the answer is
not known.  So nobody waits for longer than a minute.  Addresses are asked as tables have them, in lower case.
"""

from __future__ import annotations

import asyncio
import time

from mether.address import AddressError, parse, quote
from mether.client.session import Lost
from mether.routing.kept import Kept
from mether.routing.source import Needs, TableError
from mether.smtp import command
from mether.smtp.client import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Final

    from mether.client.stream import StreamClient
    from mether.outcome import Route
    from mether.reply import Reply

    Open = Callable[[Route], Awaitable[StreamClient]]
    """Begins a session that is ready for MAIL.  Raises Lost or NoSession."""

HERE: Final = 3600.0
NOBODY: Final = 300.0
UNKNOWN: Final = 5.0
ONCE: Final = 7 * 86400.0
IN_FLIGHT: Final = 20
"""Sessions at a time."""
WAITING: Final = 200
"""Questions in hand, those that wait for a session too."""
LIMIT: Final = 30.0
"""Seconds for a question, from its connection to the answer, and for its turn to come before: together far
less than the five minutes in which a client expects the answer to RCPT (RFC 5321 section 4.5.3.2.3)."""

_HERE: Final = ""


class NoSession(Exception):
    """The host gives no session in which RCPT can be said; str() says why."""


class CallAhead:
    """A `routing.source.Source` that asks the host to which a route leads.

    `route` gives the next hop for a domain, `open` begins a session there; `clock` gives seconds that only go
    on.  It belongs to one event loop.
    """

    __slots__ = ("_asked", "_kept", "_once", "_open", "_route", "_slots", "name")

    def __init__(
        self,
        route: Callable[[str], Route],
        open: Open,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = "callahead"
        self._route = route
        self._open = open
        self._kept = Kept(HERE, clock)
        self._once = Kept(ONCE, clock)
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._slots: asyncio.Semaphore | None = None

    def get(self, key: str) -> str | None:
        """Whether the address is one that the host takes.  Raises TableError or Needs."""
        local, _, domain = key.rpartition("@")
        if not local or not domain:
            return None
        known = self._kept.get(key)
        if known is None:
            raise Needs(self, key)
        if known.trouble:
            raise TableError(known.trouble)
        return known.value

    async def learn(self, key: str) -> None:
        """Ask about the address; whoever wants to know the same meanwhile waits for the same answer."""
        task = self._asked.get(key)
        if task is None:
            if len(self._asked) >= WAITING:
                self._trouble(key, f"{WAITING} questions are in hand already")
                return
            task = self._asked[key] = asyncio.get_running_loop().create_task(self._settle(key))
        # Who gave up waiting does not end it: the others still want the answer, and so will his client.
        await asyncio.shield(task)

    async def _settle(self, key: str) -> None:
        """Find the answer and keep it."""
        if self._slots is None or not self._asked.keys() - {key}:
            self._slots = asyncio.Semaphore(IN_FLIGHT)
        try:
            async with asyncio.timeout(LIMIT) as time_out, self._slots:
                time_out.reschedule(asyncio.get_running_loop().time() + LIMIT)
                await self._ask(key)
        except TimeoutError:
            self._trouble(key, f"no answer within {LIMIT:g} s")
        except (Lost, NoSession) as error:
            self._trouble(key, str(error))
        except AddressError:
            self._kept.put(key, None)  # no command can name it
        finally:
            del self._asked[key]

    async def _ask(self, key: str) -> None:
        local, _, domain = key.rpartition("@")
        address = parse(f"{quote(local)}@{domain}", utf8=True)
        client = await self._open(self._route(domain))
        try:
            if not address.is_ascii and "SMTPUTF8" not in client.protocol.offer:
                self._kept.put(key, None, NOBODY)  # the host could not be told of anybody with such a name
                return
            reply = await client.ask("MAIL", command.mail(None, () if address.is_ascii else ("SMTPUTF8",)))
            if not reply.ok:
                self._trouble(key, f"to MAIL FROM:<> it said {reply}")
                return
            self._judge(key, await client.ask("RCPT", command.rcpt(address)))
        finally:
            _leave(client)

    def _judge(self, key: str, reply: Reply) -> None:
        here = verdict(reply)
        if here is None:
            self._trouble(key, f"{key[:100]}: to RCPT it said {reply}")
        elif here:
            self._kept.put(key, _HERE)
            self._once.put(key, _HERE)
        else:
            self._kept.put(key, None, NOBODY)
            self._once.forget(key)

    def _trouble(self, key: str, why: str) -> None:
        if self._once.get(key) is not None:
            self._kept.put(key, _HERE, UNKNOWN)
        else:
            # Not with whom: a host that is down is told of in the same words each time, and so in one line a
            # minute (`event.repeated`), whatever names strangers think of.
            self._kept.fail(key, f"{self.name}: {why}", UNKNOWN)


def verdict(reply: Reply) -> bool | None:
    """Whether the reply to RCPT says that somebody of that name is here; None when it says neither."""
    if reply.ok:
        return True
    subject = reply.status[:4] if reply.status else ""
    if reply.status in ("5.2.2", "5.2.3") or (reply.code == 552 and subject in ("", "5.2.")):
        return True
    if reply.code // 10 != 55 or subject in ("5.3.", "5.5.", "5.6.", "5.7."):
        return None
    return False


def _leave(client: StreamClient) -> None:
    """Say goodbye without waiting for the answer."""
    try:
        if client.alive:
            client.write(client.protocol.send("QUIT", command.plain("QUIT")))
    except LocalError:
        pass  # a command waits for its reply, which will not be read
    client.close()
