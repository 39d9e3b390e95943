"""A DNS of your own: a dictionary of records, asked in memory or over UDP and TCP on loopback.

    zone = Zone({"example.org": ["MX 10 mail.example.org"], "mail.example.org": ["A 192.0.2.1"]})
    with Server(zone) as server:  # or: async with
        ...  # at 127.0.0.1, server.port: [dns] servers = ["127.0.0.1:PORT"]

`Resolver` answers from a zone as `mether.dns.resolver.Resolver` does, without a network.  `Server` is a name
server: on the running event loop with ``async with``, on a thread of its own with ``with``.  Both follow
aliases inside the zone, as a recursive server does, and say that a name does not exist which the zone lacks.

What goes wrong is told to the zone, by name, at any time:

- ``zone.codes[name] = "SERVFAIL"``, or any other response code, is the answer;
- ``zone.silent.add(name)``: there is none;
- ``zone.truncated.add(name)``: by UDP it says that it does not fit;
- ``zone.authenticated.add(name)``: it has the AD bit;
- ``zone.hold(name)``: it comes at ``zone.release(name)``;
- ``zone.lies[name] = function``: the server sends what the function makes of the right response, a message
  or octets.

`zone.asked` lists the questions that came, as ``("example.org", "MX")``.  Answers hold for `zone.ttl`
seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mether.dns.answer import Addresses, Answer, NoSuchName, Unavailable

HOST = "127.0.0.1"
"""Where a server listens unless told otherwise."""

_NAMES = ("MX", "CNAME", "NS", "PTR")
"""Records whose data end in a name."""

Lie = Callable[[dns.message.Message], "dns.message.Message | bytes"]


class Zone:
    """Records by name, each ``"TYPE data"`` (names in data are absolute, with or without the last dot)."""

    def __init__(self, records: dict[str, list[str]] | None = None, *, ttl: int = 300) -> None:
        self.records = {name.lower(): list(texts) for name, texts in (records or {}).items()}
        self.ttl = ttl
        self.codes: dict[str, str] = {}
        self.silent: set[str] = set()
        self.truncated: set[str] = set()
        self.authenticated: set[str] = set()
        self.lies: dict[str, Lie] = {}
        self.asked: list[tuple[str, str]] = []
        self._held: dict[str, list[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def find(self, name: str, kind: str) -> list[str] | None:
        """The data of records of that kind; None when the name does not exist."""
        texts = self.records.get(name)
        if texts is None:
            return None
        return [text.partition(" ")[2] for text in texts if text.partition(" ")[0] == kind]

    def chain(self, name: str, kind: str) -> tuple[list[tuple[str, str]], str, list[str] | None]:
        """The aliases on the way, the name they end at, and its records of that kind."""
        aliases: list[tuple[str, str]] = []
        while (found := self.find(name, "CNAME")) and len(aliases) < 20:
            target = found[0].lower().removesuffix(".")
            aliases.append((name, target))
            name = target
        return aliases, name, self.find(name, kind)

    def hold(self, name: str) -> None:
        """Answer no question about the name until `release`."""
        with self._lock:
            self._held.setdefault(name.lower(), [])

    def release(self, name: str) -> None:
        """Answer what was asked about the name since `hold`, and what is asked from now on."""
        with self._lock:
            waiting = self._held.pop(name.lower(), [])
        for answer in waiting:
            answer()

    def when(self, name: str, answer: Callable[[], None]) -> None:
        """Call `answer` when the name is not held: at once, or in `release`, from its thread."""
        with self._lock:
            if name in self._held:
                self._held[name].append(answer)
                return
        answer()

    def response(self, query: dns.message.Message) -> dns.message.Message | None:
        """The right response to a query, None where there is to be none."""
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        aliases, end, found = self.chain(name, kind)
        if {name, end} & self.silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        code = self.codes.get(end) or self.codes.get(name)
        if code is not None:
            response.set_rcode(dns.rcode.from_text(code))
            return response
        if end in self.authenticated:
            response.flags |= dns.flags.AD
        for alias, target in aliases:
            response.answer.append(self.rrset(alias, "CNAME", [target]))
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            response.answer.append(self.rrset(end, kind, found))
        if not found:
            response.authority.append(self.rrset("", "SOA", [f". . 1 3600 600 86400 {self.ttl}"]))
        return response

    def rrset(self, name: str, kind: str, data: list[str]) -> dns.rrset.RRset:
        """Records of dnspython, with the zone's TTL."""
        dotted = [one if one.endswith(".") or kind not in _NAMES else one + "." for one in data]
        return dns.rrset.from_text_list(
            dns.name.from_text(name), self.ttl, dns.rdataclass.IN, dns.rdatatype.from_text(kind), dotted
        )


class Resolver:
    """Answers from a zone as `mether.dns.resolver.Resolver` does, without a network; lies are a server's."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    async def mx(self, domain: str) -> Answer:
        """The MX records of a domain.  Raises NoSuchName or Unavailable."""
        end, found = await self._ask(domain, "MX")
        pairs = (text.split() for text in found)
        return Answer(
            end,
            [(int(preference), host.lower().removesuffix(".")) for preference, host in pairs],
            end in self.zone.authenticated,
        )

    async def addresses(self, host: str, *, search: bool = False) -> Addresses:
        """The addresses of a host, IPv6 first.  Raises NoSuchName or Unavailable."""
        end, six = await self._ask(host, "AAAA")
        end, four = await self._ask(host, "A")
        return Addresses.of([*six, *four], authenticated=end in self.zone.authenticated)

    async def _ask(self, name: str, kind: str) -> tuple[str, list[str]]:
        zone = self.zone
        zone.asked.append((name, kind))
        loop = asyncio.get_running_loop()
        released: asyncio.Future[None] = loop.create_future()

        def release() -> None:
            loop.call_soon_threadsafe(released.set_result, None)

        zone.when(name, release)
        await released
        aliases, end, found = zone.chain(name, kind)
        if len(aliases) > 8:
            raise Unavailable(f"the aliases of {name} lead nowhere")
        if {name, end} & (zone.silent | set(zone.codes)):
            raise Unavailable("every name server failed to answer")
        if found is None:
            raise NoSuchName(end)
        return end, found


class Server(asyncio.DatagramProtocol):
    """A name server for a zone, at `host` and `port` (0: a free one, told once it runs)."""

    def __init__(self, zone: Zone, host: str = HOST, port: int = 0) -> None:
        self.zone = zone
        self.host = host
        self.port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """The server as ``[dns] servers`` has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._loop = loop = asyncio.get_running_loop()
        for attempt in range(20):
            # A port that is free for TCP may be taken for UDP.
            self._tcp = await asyncio.start_server(self._serve, self.host, self.port)
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._transport, _ = await loop.create_datagram_endpoint(
                    lambda: self, local_addr=(self.host, port)
                )
            except OSError:
                self._tcp.close()
                if self.port or attempt == 19:
                    raise
            else:
                self.port = port
                break
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._transport is not None and self._tcp is not None
        self._transport.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    def __enter__(self) -> Self:
        ready = threading.Event()
        problem: list[BaseException] = []
        stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

        async def serve() -> None:
            done = asyncio.Event()
            loop = asyncio.get_running_loop()
            try:
                await self.__aenter__()
            except BaseException as error:
                problem.append(error)
                raise
            finally:
                stop.append((loop, done))
                ready.set()
            await done.wait()
            await self.__aexit__(None, None, None)

        def run() -> None:
            try:
                asyncio.run(serve())
            except OSError:
                pass  # told by `problem`

        self._thread = threading.Thread(target=run, name="mether.testing.dns", daemon=True)
        self._thread.start()
        ready.wait()
        self._stop = stop[0]
        if problem:
            self._thread.join()
            raise problem[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        loop, done = self._stop
        loop.call_soon_threadsafe(done.set)
        self._thread.join()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A question by UDP."""

        def send(response: dns.message.Message | bytes, name: str) -> None:
            if isinstance(response, dns.message.Message):
                if name in self.zone.truncated:
                    response.flags |= dns.flags.TC
                    response.answer = []
                response = response.to_wire(max_size=65535)
            if self._transport is not None and not self._transport.is_closing():
                self._transport.sendto(response, addr)

        self._answer(data, send)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A question by TCP."""
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def send(response: dns.message.Message | bytes, name: str) -> None:
            if not answered.done():
                if isinstance(response, dns.message.Message):
                    response = response.to_wire(max_size=65535)
                answered.set_result(response)

        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            self._answer(await reader.readexactly(size), send)
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if answered.done():
                wire = answered.result()
                writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, data: bytes, send: Callable[[dns.message.Message | bytes, str], None]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.zone.asked.append((name, dns.rdatatype.to_text(question.rdtype)))
        loop = self._loop
        assert loop is not None

        def answer() -> None:
            response = self.zone.response(query)
            if response is not None:
                lie = self.zone.lies.get(name)
                send(response if lie is None else lie(response), name)

        def soon() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(answer)

        self.zone.when(name, soon)
