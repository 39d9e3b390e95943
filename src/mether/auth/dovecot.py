"""Dovecot's users: a client of its auth-client socket (Dovecot's authentication protocol, version 1.x).

One connection for all questions, opened at the first and again after it was lost.  Each side says who it is;
then ``AUTH id mechanism service=smtp ... resp=base64`` is answered by ``OK id user=...``, ``FAIL id ...`` or,
for a token that is refused, ``CONT id json``.  Words are parted by tabs.

Whatever goes wrong (no socket, no answer in time, a line too long, a version that is not 1, too many
questions at once) is *temporary*, and `complain` gets a line.  Passwords go to Dovecot as PLAIN; SCRAM is not
offered with this backend, since Dovecot does not give its keys away here.

    backend = Dovecot("/var/run/dovecot/auth-client", complain=log)
    answer = await backend.ask(CheckPassword("ann", "secret"), "192.0.2.1")
"""

from __future__ import annotations

import asyncio
import os

from mether.smtp.sasl import (
    DISABLED,
    REJECTED,
    TEMPORARY,
    Answer,
    CheckPassword,
    CheckToken,
    encode,
    name_from,
)
from mether.smtp.sasl_oauth import ClientBearer, ClientXoauth2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.smtp.sasl import Question

LIMIT: Final = 30.0
"""Seconds for one question, connecting included; Dovecot itself holds a refusal back for two."""

WAITING: Final = 100
"""Questions in hand."""

MAX_LINE: Final = 8192
"""Octets of a line, ours and Dovecot's."""


class _Lost(Exception):
    """The connection cannot be used, or not any more; str() says why."""


class Dovecot:
    """The backend.  `tokens`: Dovecot is set up for OAUTHBEARER and XOAUTH2; `limit` is in seconds."""

    passwords = True
    keys = False
    iterations = 0

    def __init__(
        self, path: str, *, complain: Callable[[str], None], tokens: bool = False, limit: float = LIMIT
    ) -> None:
        self.path = path
        self.tokens = tokens
        self._complain = complain
        self._limit = limit
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()
        self._in_hand = 0
        self._next = 0

    async def ask(self, question: Question, remote: str = "") -> Answer:
        """Answer the question."""
        if self._in_hand >= WAITING:
            self._complain(f"{self.path}: more than {WAITING} logins at once")
            return TEMPORARY
        self._in_hand += 1
        try:
            async with asyncio.timeout(self._limit):
                return await self._ask(question, remote)
        except TimeoutError:
            self._complain(f"{self.path}: no answer within {self._limit:g} seconds")
        except (_Lost, OSError) as error:
            what = error.strerror if isinstance(error, OSError) else None
            self._complain(f"{self.path}: {what or error}")
        finally:
            self._in_hand -= 1
        return TEMPORARY

    async def _ask(self, question: Question, remote: str) -> Answer:
        self._next = self._next % 0x7FFFFFFF + 1
        number = self._next
        line = request(number, question, remote)
        if line is None:
            return REJECTED
        if len(line) > MAX_LINE:
            return REJECTED  # Dovecot would close the connection, and with it all other questions
        link = await self._connected()
        dummy = ""
        if isinstance(question, CheckToken) and question.mechanism == "OAUTHBEARER":
            dummy = "AQ=="
        return await link.ask(number, line, dummy)

    async def _connected(self) -> _Link:
        async with self._connecting:
            if self._link is None or self._link.lost:
                reader, writer = await asyncio.open_unix_connection(self.path, limit=MAX_LINE)
                link = _Link(reader, writer)
                try:
                    await link.handshake()
                except BaseException:
                    await link.close()
                    raise
                self._link = link
            return self._link

    async def close(self) -> None:
        """Close the connection; what is asked is answered *temporary*."""
        if self._link is not None:
            await self._link.close()


class _Link:
    """One connection, shared by all questions, each with its id."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, tuple[asyncio.Future[Answer], str]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.lost = ""

    async def handshake(self) -> None:
        """Say who we are, read who Dovecot is.  Raises _Lost, OSError."""
        # Dovecot wants a number for each client process that no other has; these are above any process id.
        number = int.from_bytes(os.urandom(4)) >> 2 | 1 << 30
        self._writer.write(f"VERSION\t1\t1\nCPID\t{number}\n".encode())
        known = False
        for _ in range(200):
            words = await self._line()
            if words[0] == "VERSION":
                if words[1:2] != ["1"]:
                    raise _Lost(f"version {'.'.join(words[1:3])} of the protocol; expected 1")
                known = True
            elif words[0] == "DONE":
                if not known:
                    raise _Lost("no VERSION: this is not an auth-client socket of Dovecot")
                self._reading = asyncio.get_running_loop().create_task(self._read())
                return
        raise _Lost("no end of its greeting: this is not an auth-client socket of Dovecot")

    async def _line(self) -> list[str]:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise _Lost("Dovecot closed the connection") from None
        except asyncio.LimitOverrunError:
            raise _Lost(f"a line of more than {MAX_LINE} octets") from None
        return [unescape(word) for word in line[:-1].decode("utf-8", "replace").split("\t")]

    async def ask(self, number: int, line: bytes, dummy: str) -> Answer:
        """Send the line; the answer to its id.  Raises _Lost, OSError."""
        if self.lost:
            raise _Lost(self.lost)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (future, dummy)
        try:
            self._writer.write(line)
            await self._writer.drain()
            return await future
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._line())
        except (_Lost, OSError) as error:
            self._fail(str(error))
        finally:
            self._fail("closed")
            self._writer.close()

    def _take(self, words: list[str]) -> None:
        if words[0] not in ("OK", "FAIL", "CONT") or len(words) < 2:
            return
        if not (words[1].isdecimal() and len(words[1]) <= 10):
            return
        future, dummy = self._waiting.get(int(words[1]), (None, ""))
        if future is None or future.done():
            return  # whoever asked has given up
        if words[0] == "CONT":
            # The JSON that tells why a token is refused; Dovecot fails it when it has the dummy.
            self._writer.write(f"CONT\t{int(words[1])}\t{dummy}\n".encode())
            return
        future.set_result(verdict(words))

    def _fail(self, why: str) -> None:
        self.lost = self.lost or why
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(_Lost(self.lost))
        self._waiting.clear()

    async def close(self) -> None:
        """Close it."""
        self._fail("closed")
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass


def request(number: int, question: Question, remote: str) -> bytes | None:
    """The AUTH line for a question, None for one that Dovecot is not asked."""
    if isinstance(question, CheckPassword):
        mechanism = "PLAIN"
        response = b"\0" + question.login.encode() + b"\0" + question.password.encode()
    elif isinstance(question, CheckToken):
        mechanism = question.mechanism
        client = (
            ClientXoauth2(question.login, question.token)
            if mechanism == "XOAUTH2"
            else ClientBearer(question.login, question.token)
        )
        response = client.initial or b""
    else:
        return None
    words = ["AUTH", str(number), mechanism, "service=smtp", "secured"]
    if remote:
        words.append("rip=" + escape(remote))
    words.append("resp=" + encode(response))  # must be the last
    return ("\t".join(words) + "\n").encode()


def verdict(words: list[str]) -> Answer:
    """What an OK or FAIL line says."""
    named = dict(word.partition("=")[::2] for word in words[2:])
    if words[0] == "OK":
        return Answer("accepted", login=name_from(named.get("user", "").encode()) or "")
    code = named.get("code", "")
    if "temp" in named or code == "temp_fail":
        return TEMPORARY
    if "user_disabled" in named or "pass_expired" in named or code in ("user_disabled", "pass_expired"):
        return DISABLED
    return REJECTED


_ESCAPES: Final = (("\x01", "\x011"), ("\t", "\x01t"), ("\r", "\x01r"), ("\n", "\x01n"), ("\0", "\x010"))


def escape(text: str) -> str:
    """A word with Dovecot's escapes in it."""
    for char, written in _ESCAPES:
        text = text.replace(char, written)
    return text


def unescape(text: str) -> str:
    """The word that was escaped so."""
    if "\x01" not in text:
        return text
    first, *rest = text.split("\x01")
    meant = {"1": "\x01", "t": "\t", "r": "\r", "n": "\n", "0": "\0"}
    # "\x01" "1" is split as any other; two in a row cannot come from escape().
    return first + "".join(meant.get(piece[:1], piece[:1]) + piece[1:] for piece in rest)
