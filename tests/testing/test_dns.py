"""The fake name server, as a test of somebody else's would use it."""

from __future__ import annotations

import asyncio
import socket

import dns.message
import dns.rcode
import pytest

from mether.dns.answer import NoSuchName, Unavailable
from mether.testing.dns import Resolver, Server, Zone

RECORDS = {
    "example.org": ["MX 10 mail.example.org", "TXT hello"],
    "mail.example.org": ["A 192.0.2.1", "AAAA 2001:db8::1"],
    "www.example.org": ["CNAME mail.example.org"],
}


def question(server: Server, name: str, kind: str, *, tcp: bool = False) -> dns.message.Message:
    """Asked with a plain socket, from another thread than the server's."""
    query = dns.message.make_query(name, kind)
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((server.host, server.port))
        wire = query.to_wire(prepend_length=tcp)
        client.sendall(wire)
        return dns.message.from_wire(client.recv(65535)[2 if tcp else 0 :])


@pytest.mark.parametrize("tcp", [False, True])
def test_a_server_on_a_thread_of_its_own(tcp: bool) -> None:
    zone = Zone(RECORDS)
    with Server(zone) as server:
        assert server.address == f"127.0.0.1:{server.port}"
        assert [str(one) for one in question(server, "www.example.org", "A", tcp=tcp).answer] == [
            "www.example.org. 300 IN CNAME mail.example.org.",
            "mail.example.org. 300 IN A 192.0.2.1",
        ]
        assert str(question(server, "example.org", "TXT", tcp=tcp).answer[0]).endswith('TXT "hello"')
        assert question(server, "nowhere.example", "A", tcp=tcp).rcode() == dns.rcode.NXDOMAIN
        zone.codes["example.org"] = "SERVFAIL"
        assert question(server, "example.org", "MX", tcp=tcp).rcode() == dns.rcode.SERVFAIL
    assert zone.asked[0] == ("www.example.org", "A")


def test_a_port_that_is_taken() -> None:
    with Server(Zone()) as server, pytest.raises(OSError, match="in use"), Server(Zone(), port=server.port):
        pass


def test_an_answer_can_be_held() -> None:
    zone = Zone(RECORDS)
    zone.hold("example.org")
    with Server(zone) as server:
        query = dns.message.make_query("example.org", "MX")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect((server.host, server.port))
            client.send(query.to_wire())
            assert question(server, "mail.example.org", "A").answer  # that one is not
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(65535)
            client.settimeout(5)
            zone.release("example.org")
            assert dns.message.from_wire(client.recv(65535)).answer


def test_the_resolver_in_memory() -> None:
    zone = Zone({**RECORDS, "a.example": ["CNAME b.example"], "b.example": ["CNAME a.example"]})
    zone.codes["broken.example"] = "REFUSED"
    zone.authenticated.add("example.org")
    resolver = Resolver(zone)

    async def main() -> None:
        answer = await resolver.mx("example.org")
        assert (answer.records, answer.authenticated) == ([(10, "mail.example.org")], True)
        found = await resolver.addresses("www.example.org")
        assert (found, found.authenticated) == (("2001:db8::1", "192.0.2.1"), False)
        with pytest.raises(NoSuchName):
            await resolver.mx("nowhere.example")
        for name in ("broken.example", "a.example"):
            with pytest.raises(Unavailable):
                await resolver.mx(name)
        zone.hold("example.org")
        asking = asyncio.ensure_future(resolver.mx("example.org"))
        await asyncio.sleep(0)
        assert not asking.done()
        zone.release("example.org")
        assert (await asking).records

    asyncio.run(main())
