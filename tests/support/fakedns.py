"""A DNS for tests: `Zone` holds records, `Resolver` answers from it in memory, `Server` over UDP and TCP.

    zone = Zone({"example.org": ["MX 10 mail.example.org"], "mail.example.org": ["A 192.0.2.1"]})
    async with Server(zone) as server:
        ...  # server.port on 127.0.0.1

A name that the zone lacks does not exist; one in `zone.broken` is answered with SERVFAIL, one in
`zone.silent` is not answered at all.  A CNAME is followed inside the zone, as a recursive server does.
`asked` lists the questions that came, as ``("example.org", "MX")``.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mether.dns.mx import Answer, NoSuchName, Unavailable


class Zone:
    """Records by name, each ``"TYPE data"`` (names in data are absolute, with or without the last dot)."""

    def __init__(self, records: dict[str, list[str]] | None = None, *, ttl: int = 300) -> None:
        self.records = {name.lower(): list(texts) for name, texts in (records or {}).items()}
        self.ttl = ttl
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    def find(self, name: str, kind: str) -> list[str] | None:
        """The data of records of that kind; None when the name does not exist."""
        texts = self.records.get(name)
        if texts is None:
            return None
        return [text.partition(" ")[2] for text in texts if text.partition(" ")[0] == kind]

    def chain(self, name: str, kind: str) -> tuple[list[tuple[str, str]], str, list[str] | None]:
        """The aliases on the way, the name they end at, and its records of that kind."""
        aliases: list[tuple[str, str]] = []
        while (found := self.find(name, "CNAME")) and len(aliases) < 8:
            target = found[0].lower().removesuffix(".")
            aliases.append((name, target))
            name = target
        return aliases, name, self.find(name, kind)


class Resolver:
    """Answers as `mether.dns.resolver.Resolver` does, without a network."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def _ask(self, name: str, kind: str) -> tuple[str, list[str]]:
        self.zone.asked.append((name, kind))
        _, end, found = self.zone.chain(name, kind)
        if end in self.zone.broken | self.zone.silent:
            raise Unavailable("every name server failed to answer")
        if found is None:
            raise NoSuchName(end)
        return end, found

    async def mx(self, domain: str) -> Answer:
        end, found = self._ask(domain, "MX")
        pairs = (text.split() for text in found)
        return Answer(end, [(int(preference), host.lower().removesuffix(".")) for preference, host in pairs])

    async def addresses(self, host: str, *, search: bool = False) -> list[str]:
        return self._ask(host, "AAAA")[1] + self._ask(host, "A")[1]


class Server(asyncio.DatagramProtocol):
    """A name server on 127.0.0.1 at `port`; answers over 512 octets are truncated on UDP with `truncate`."""

    def __init__(self, zone: Zone, *, truncate: bool = False) -> None:
        self.zone = zone
        self.truncate = truncate
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._transport is not None and self._tcp is not None
        self._transport.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._answer(data)
        if response is not None:
            assert self._transport is not None
            if self.truncate:
                response.flags |= dns.flags.TC
                response.answer = []
            self._transport.sendto(response.to_wire(), addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            response = self._answer(await reader.readexactly(size))
            if response is not None:
                wire = response.to_wire(max_size=65535)
                writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, data: bytes) -> dns.message.Message | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.zone.asked.append((name, kind))
        aliases, end, found = self.zone.chain(name, kind)
        if end in self.zone.silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if end in self.zone.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        for alias, target in aliases:
            response.answer.append(self._rrset(alias, "CNAME", [target + "."]))
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            dotted = [text if text.endswith(".") or kind in ("A", "AAAA") else text + "." for text in found]
            response.answer.append(self._rrset(end, kind, dotted))
        if not found:
            soa = ". . 1 3600 600 86400 300"
            response.authority.append(self._rrset("", "SOA", [soa]))
        return response

    def _rrset(self, name: str, kind: str, texts: list[str]) -> dns.rrset.RRset:
        return dns.rrset.from_text_list(
            dns.name.from_text(name), self.zone.ttl, dns.rdataclass.IN, dns.rdatatype.from_text(kind), texts
        )
