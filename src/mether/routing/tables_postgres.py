"""A table in a PostgreSQL database, by a statement of whoever runs the service, with asyncpg.

    SELECT mailbox FROM users WHERE address = $1

The statement has one parameter, the key, which is given as text; the first column of the first row is the
value, and NULL, as no row at all, means that the key is not there.  It is prepared, so a PgBouncer in between
has to be in session mode or newer than 1.20; the account needs no right but SELECT.

`get` raises Needs until `learn` has asked.  Answers are kept for as many seconds as the table says, one at
least, those that nothing was found too.  There is one connection, on which one statement is run at a time; it
is made when it is needed and ended when it has had nothing to do for `IDLE` seconds.  Connecting and a
statement have `LIMIT` seconds.  When either fails, every look-up is a TableError for `AGAIN` seconds, so that
a dead database costs no time at every recipient.

asyncpg is not there unless it was installed (``mether[postgres]``): `missing` says so.  The URL may name what
libpq's do: host, port or socket directory, user, database, TLS; a password is better left to ``~/.pgpass``
(``passfile=``), since the configuration may be read by others.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import time

from mether.routing.kept import Kept
from mether.routing.source import Condition, Needs, TableError
from mether.routing.tables_sqlite import STATEMENT, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

LIMIT: Final = 5.0
"""Seconds for connecting, and for a statement."""
IDLE: Final = 60.0
"""Seconds for which a connection that has nothing to do is kept."""
AGAIN: Final = 2.0
"""Seconds for which a failure is the answer."""
WAITING: Final = 1000
"""Questions that may wait for the connection."""


def missing() -> str:
    """Why there can be no such table, "" when there can."""
    if importlib.util.find_spec("asyncpg") is not None:
        return ""
    return "needs asyncpg, which is not installed; expected: pip install 'mether[postgres]'"


class Postgres:
    """A `routing.source.Source` out of the database at `url` by the statement `query`.

    Answers are kept for `keep` seconds; `clock` gives seconds that only go on; `connect` is asyncpg's.  It
    belongs to one event loop at a time.
    """

    __slots__ = (
        "_asked",
        "_clock",
        "_connect",
        "_connection",
        "_idle",
        "_kept",
        "_loop",
        "_part",
        "_query",
        "_statement",
        "_trouble",
        "_turn",
        "_url",
        "condition",
        "name",
        "shown",
    )

    def __init__(
        self,
        url: str,
        query: str,
        name: str = "",
        *,
        keep: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        connect: Callable[..., Any] | None = None,
    ) -> None:
        self.shown = without_password(url)
        self.name = name or self.shown
        self._url = url
        self._query = query
        self._clock = clock
        self._connect = connect
        # An answer has to outlive the decision that waits for it, however short the administrator wants it.
        self._kept = Kept(max(keep, 1.0), clock)
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._connection: Any = None
        self._statement: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._trouble = ("", float("-inf"))
        self._part = ""
        self.condition = Condition()

    def get(self, key: str) -> str | None:
        """What the statement finds for the key.  Raises TableError or Needs."""
        known = self._kept.get(key)
        if known is not None:
            if known.trouble:
                raise self.condition.bad(known.trouble)
            return known.value
        trouble, until = self._trouble
        if self._clock() < until:
            raise self.condition.bad(trouble, self._part)
        raise Needs(self, key)

    async def learn(self, key: str) -> None:
        """Ask the database; whoever wants to know the same meanwhile waits for the same answer."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a program that waits runs a loop for each question
            self._loop, self._connection, self._turn = loop, None, asyncio.Lock()
            self._asked.clear()
        task = self._asked.get(key)
        if task is None:
            if len(self._asked) >= WAITING:
                self._kept.fail(key, f"{self.shown}: {WAITING} questions are in hand already", AGAIN)
                return
            task = self._asked[key] = loop.create_task(self._settle(key))
        await asyncio.shield(task)

    def check(self) -> None:
        """Ask about one key; nothing in an event loop, which must not wait.  Raises TableError."""
        if asyncio._get_running_loop() is not None:
            return

        async def ask() -> None:
            try:
                await self.learn("postmaster")
            finally:
                await self.close()

        self._trouble = ("", float("-inf"))
        asyncio.run(ask())
        try:
            self.get("postmaster")
        except Needs:
            raise TableError(f"{self.shown}: no answer") from None

    async def close(self) -> None:
        """End the connection; the next question makes another."""
        connection, self._connection = self._connection, None
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if connection is not None:
            try:
                await connection.close(timeout=LIMIT)
            except Exception:  # it is gone then, which is all that was wanted
                connection.terminate()

    async def _settle(self, key: str) -> None:
        """Ask, in turn, and keep what came of it."""
        try:
            async with self._turn:
                if self._clock() < self._trouble[1]:
                    return  # it failed for those who were first: this one need not wait, too
                if self._idle is not None:
                    self._idle.cancel()
                await self._ask(key)
                self._idle = asyncio.get_running_loop().call_later(IDLE, self._rest)
        finally:
            self._asked.pop(key, None)

    async def _ask(self, key: str) -> None:
        for attempt in (1, 2):
            kept = self._connection is not None
            try:
                async with asyncio.timeout(LIMIT):
                    if self._connection is None:
                        await self._begin()
                    row = await self._statement.fetchrow(key)
                self._kept.put(key, value_of(None if row is None else row[0], key))
                self.condition.good(self.shown)
                return
            except ValueError as error:
                self._kept.fail(key, f"{self.shown}: {error}", AGAIN)
                return
            except TimeoutError:
                part = ""
                why = f"no answer within {LIMIT:g} s"
            except Exception as error:  # asyncpg's come from many trees, and none of them may end a session
                why = " ".join(str(error).split()) or type(error).__name__
                part = STATEMENT if _statement(error) else ""
            lost, self._connection = self._connection, None
            gone = lost is None or lost.is_closed()
            if lost is not None:
                lost.terminate()
            if not (kept and gone and attempt == 1):
                self._fail(why, part)
                return
            # The server ended a connection that had rested, as it does when it is started again.

    async def _begin(self) -> None:
        """Connect and prepare the statement."""
        connect = self._connect
        if connect is None:
            connect = importlib.import_module("asyncpg").connect
        connection = await connect(
            self._url,
            timeout=LIMIT,
            command_timeout=LIMIT,
            statement_cache_size=0,
            server_settings={"application_name": "mether"},
        )
        try:
            statement = await connection.prepare(self._query)
            if len(parameters := statement.get_parameters()) != 1:
                raise RuntimeError(
                    f"the statement has {len(parameters)} parameters; expected one, written $1, for the key"
                )
            if parameters[0].name not in ("text", "varchar", "bpchar", "name", "citext", "unknown"):
                raise RuntimeError(f"$1 is of type {parameters[0].name}; expected text: write $1::text")
            if not statement.get_attributes():
                raise RuntimeError("the statement gives nothing; expected SELECT")
        except BaseException:
            connection.terminate()
            raise
        self._connection, self._statement = connection, statement

    def _rest(self) -> None:
        """End a connection that has nothing to do."""
        self._idle = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _fail(self, why: str, part: str) -> None:
        self._part = part
        self._trouble = (f"{self.shown}: {why}", self._clock() + AGAIN)


def _statement(error: Exception) -> bool:
    """Whether the statement is at fault: we say so ourselves, or the server does (SQLSTATE class 42)."""
    return isinstance(error, RuntimeError) or str(getattr(error, "sqlstate", "")).startswith("42")


def without_password(url: str) -> str:
    """The URL as it may stand in a log."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{host}"
