"""A session as a message needs it: TLS, fall-back, logins; over the next hop and its queue of claims."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certificates
import loops
import pytest
import tlspeer
from loops import both
from mail import claim
from secure_server import SecureServer

from mether.net.tls import ClientTls
from mether.outcome import Outcome, Route
from mether.queue.claim import Claim
from mether.relay import opening
from mether.relay.credentials import Login, Logins
from mether.relay.hosts import Host
from mether.relay.nexthop import NextHop
from mether.relay.settings import Settings
from mether.relay.tlspolicy import Need, Policy
from mether.relay.window import Limits
from mether.routing.target import Target

SMART = Route("smtp", "[mx.example.com]")


class Site:
    """Some servers on loopback, and a next hop whose hosts they are."""

    def __init__(self, *servers: SecureServer, ca: str | None = None, port: int | None = None) -> None:
        self.servers = servers
        self.ca = ca
        self.peers: list[tlspeer.Peer] = []

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        """The servers, for as long as this lasts."""
        with contextlib.ExitStack() as held:
            self.peers = [held.enter_context(tlspeer.peer(server)) for server in self.servers]
            yield

    def relay(
        self,
        loop_name: str,
        *claims: Claim,
        policy: Policy | None = None,
        logins: Logins | None = None,
        route: Route = SMART,
    ) -> list[list[Outcome]]:
        """The outcomes of these claims, worked one after the other by one next hop."""

        async def main() -> list[list[Outcome]]:
            loop = asyncio.get_running_loop()
            worked: asyncio.Queue[list[Outcome]] = asyncio.Queue()
            returned: list[Claim] = []

            async def find(route: Route, where: Target) -> list[Host]:
                return [Host("mx.example.com", "127.0.0.1", one.port) for one in self.peers]

            async def content(claim: Claim) -> Any:
                raise AssertionError("the claims have their content")

            hop = NextHop(
                route,
                Settings(
                    loop=loop,
                    find=find,
                    content=content,
                    hostname="us.example.com",
                    timeouts=opening_timeouts(),
                    clock=time.time,
                    done=lambda claim, outcomes, *times: worked.put_nowait(outcomes),
                    returned=returned.extend,
                    limits=lambda route: Limits(connections=1),
                    policy=lambda route: policy or Policy(),
                    tls=ClientTls(ca=self.ca),
                    logins=logins,
                ),
            )
            results = []
            for one in claims:
                hop.offer(one)
                results.append(await worked.get())
            await hop.close()
            assert returned == []
            return results

        with self.up():
            result: list[list[Outcome]] = loops.run(loop_name, main())
        return result


def opening_timeouts() -> Any:
    from mether.client.session import Timeouts

    return Timeouts(connect=20, greeting=20, command=20, data=20, block=20, end=20, quit=20, tls=20)


def message(
    *,
    requiretls: bool = False,
    sender: str = "sender@example.com",
    bounce: bool = False,
    route: Route = SMART,
) -> Claim:
    """A claim to be relayed."""
    from mether.address import parse

    made = claim("rcpt@example.net", route=route)
    made.message.envelope.requiretls = requiretls
    made.message.envelope.reverse_path = None if bounce else parse(sender)
    return made


def shown(results: list[list[Outcome]]) -> list[tuple[str, str, str]]:
    return [(one.action, one.status, one.scope) for outcomes in results for one in outcomes]


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., tuple[Any, str]]:
    """A server's context for a certificate with these names, and the authority's file."""

    def make(*names: str, **how: Any) -> tuple[Any, str]:
        pair = certificates.pair(tmp_path, *(names or ("mx.example.com",)), **how)
        return tlspeer.server_context(pair), certificates.ca_file(tmp_path)

    return make


@both
def test_tls_where_it_is_offered(loop_name: str, files: Any):
    """TLS-6, TLS-8: level may takes any certificate, and the mail goes under it."""
    context, _ = files("other.example", by="stranger", expired=True)
    server = SecureServer(context, secure=("8BITMIME",))
    assert (
        shown(Site(server).relay(loop_name, message(), message())) == [("relayed", "2.0.0", "recipient")] * 2
    )
    (session,) = server.sessions
    assert session[:3] == ["EHLO us.example.com", "STARTTLS", "tls EHLO us.example.com"]
    assert session.count("tls DATA") == 2


@both
@pytest.mark.parametrize(
    "how",
    [
        {"clear": ()},
        {"starttls": "454 4.7.0 not now"},
        {"garbage": b"500 what?\r\n"},
        {"garbage": b"\x15\x03\x03\x00\x02\x02\x28"},
    ],
    ids=["not offered", "refused", "garbage", "alert"],
)
@pytest.mark.parametrize("level", ["may", "encrypt", "verify"])
def test_no_tls_is_to_be_had(loop_name: str, how: dict[str, Any], level: str, files: Any):
    """TLS-5, TLS-6: level may goes on in clear, over a new connection where the handshake failed; all
    others wait.
    """
    context, ca = files()
    server = SecureServer(**{"context": context, **how})
    results = shown(Site(server, ca=ca).relay(loop_name, message(), policy=Policy(level)))
    if level == "may":
        assert results == [("relayed", "2.0.0", "recipient")]
        assert "DATA" in server.sessions[-1]
        assert "STARTTLS" not in server.sessions[-1] or how.get("starttls")
    else:
        assert results == [("delayed", "4.7.5" if "garbage" in how else "4.7.4", "host")]
        assert not server.messages


@both
def test_a_verified_server_is_the_one_that_was_meant(loop_name: str, files: Any):
    """TLS-8: the next host is tried when the first is somebody else."""
    wrong, ca = files("mx.example.org")
    right, _ = files("mx.example.com")
    first, second = SecureServer(wrong), SecureServer(right)
    results = Site(first, second, ca=ca).relay(loop_name, message(), policy=Policy("verify"))
    assert shown(results) == [("relayed", "2.0.0", "recipient")]
    assert not first.messages
    ((outcome,),) = Site(SecureServer(wrong), ca=ca).relay(loop_name, message(), policy=Policy("verify"))
    assert (outcome.action, outcome.status) == ("delayed", "4.7.5")
    assert "its names: mx.example.org" in outcome.reply.text


@both
def test_requiretls_by_who_offers_it(loop_name: str, files: Any):
    """DAN (REQUIRETLS): verified, offered, and said; and a session that was kept without it is not used."""
    context, ca = files()
    server = SecureServer(context, secure=("REQUIRETLS",))
    results = Site(server, ca=ca).relay(
        loop_name, message(), message(requiretls=True), message(), message(requiretls=True)
    )
    assert [one[0] for one in shown(results)] == ["relayed"] * 4
    assert len(server.sessions) == 2
    assert [line.endswith("REQUIRETLS") for said in server.sessions for line in said if "MAIL" in line] == [
        False,
        True,
        False,
        True,
    ]


@both
@pytest.mark.parametrize(
    ("how", "names", "status"),
    [
        ({"clear": ()}, ("mx.example.com",), "5.7.10"),
        ({"secure": ("SIZE",)}, ("mx.example.com",), "5.7.30"),
        ({"secure": ("REQUIRETLS",)}, ("mx.example.org",), "5.7.10"),
    ],
    ids=["no TLS", "not offered", "somebody else"],
)
def test_requiretls_is_not_to_be_had(
    loop_name: str, how: dict[str, Any], names: tuple[str, ...], status: str, files: Any
):
    """DAN (REQUIRETLS): then the message is returned, and only it; a report goes all the same."""
    context, ca = files(*names)
    server = SecureServer(context, **how)
    results = Site(server, ca=ca).relay(
        loop_name, message(requiretls=True), message(), message(requiretls=True, bounce=True)
    )
    assert shown(results) == [
        ("failed", status, "transaction"),
        ("relayed", "2.0.0", "recipient"),
        ("relayed", "2.0.0", "recipient"),
    ]


def ann(tmp_path: Path, password: str = "secret", **how: Any) -> Login:
    path = tmp_path / f"password-{password}"
    path.write_text(password + "\n")
    path.chmod(0o600)
    return Login("ann", "file", str(path), **how)


@both
def test_logging_in(loop_name: str, tmp_path: Path, files: Any):
    """AUT: where a login applies the server is verified first; a session is kept for its own login."""
    context, ca = files()
    server = SecureServer(context, secure=("AUTH PLAIN",), passwords={"ann": "secret", "bob": "other"})
    (tmp_path / "bob").write_text("other")
    (tmp_path / "bob").chmod(0o400)
    logins = Logins(
        [
            ann(tmp_path, next_hop="mx.example.com", sender="*@a.example"),
            Login("bob", "file", str(tmp_path / "bob"), next_hop="mx.example.com", sender="*@b.example"),
        ]
    )
    senders = ["x@a.example", "y@a.example", "z@b.example", "nobody@c.example"]
    results = Site(server, ca=ca).relay(
        loop_name, *[message(sender=sender) for sender in senders], logins=logins
    )
    assert [one[0] for one in shown(results)] == ["relayed"] * 4
    assert server.logins == ["PLAIN ann", "PLAIN bob"]
    assert [sum("MAIL" in line for line in session) for session in server.sessions] == [2, 1, 1]
    assert ["AUTH=<>" in line for session in server.sessions for line in session if "MAIL" in line][:3] == [
        True
    ] * 3


@both
def test_a_login_that_is_refused_waits(loop_name: str, tmp_path: Path, files: Any):
    """AUT: it is ours to mend, so nothing is returned for it; the server's words are in the report."""
    context, ca = files()
    server = SecureServer(context, secure=("AUTH PLAIN",), passwords={"ann": "changed"})
    logins = Logins([ann(tmp_path)])
    ((outcome,),) = Site(server, ca=ca).relay(loop_name, message(), logins=logins)
    assert (outcome.action, outcome.status, outcome.scope) == ("delayed", "4.7.8", "host")
    assert outcome.reply.text.startswith("the server refused our login as ann: 535 5.7.8")
    assert not outcome.said
    alone = Logins([ann(tmp_path, sender="sender@*")])
    assert shown(Site(server, ca=ca).relay(loop_name, message(), logins=alone)) == [
        ("delayed", "4.7.8", "transaction")
    ]


@both
def test_a_secret_that_can_not_be_had(loop_name: str, tmp_path: Path):
    """4.7.0: nobody is connected to, and the secret's place is named."""
    server = SecureServer()
    logins = Logins([Login("ann", "file", str(tmp_path / "none"))])
    ((outcome,),) = Site(server).relay(loop_name, message(), logins=logins)
    assert (outcome.action, outcome.status, outcome.scope) == ("delayed", "4.7.0", "host")
    assert "none: No such file" in outcome.reply.text
    assert server.sessions == []


@both
def test_a_file_of_ours_that_is_missing(loop_name: str, tmp_path: Path):
    """Mail waits for it, and does not go in clear."""
    server = SecureServer()
    ((outcome,),) = Site(server, ca=str(tmp_path / "none")).relay(
        loop_name, message(), policy=Policy("verify")
    )
    assert (outcome.action, outcome.status, outcome.scope) == ("delayed", "4.7.5", "host")
    assert server.sessions == []


@both
def test_tls_from_the_beginning(loop_name: str, files: Any):
    """SUB: implicit TLS, with a need that says so; never in clear."""
    context, ca = files()

    async def session(server_port: int) -> Any:
        need = Need("verify", server_name="mx.example.com", names=("mx.example.com",), implicit=True)
        client = await opening.open(
            asyncio.get_running_loop(),
            Host("mx.example.com", "127.0.0.1", server_port),
            "us.example.com",
            opening_timeouts(),
            lmtp=False,
            need=need,
            tls=ClientTls(ca=ca),
        )
        await client.quit()
        return client.secure

    server = SecureServer(context, implicit=True)
    with tlspeer.peer(server) as there:
        assert loops.run(loop_name, session(there.port)).verified
    assert server.sessions == [["tls EHLO us.example.com", "tls QUIT"]]
    with tlspeer.peer(SecureServer()) as there, pytest.raises(opening.Shortfall) as caught:
        loops.run(loop_name, session(there.port))
    assert caught.value.reply.status == "4.7.5"


@both
def test_lmtp_over_tcp(loop_name: str, files: Any):
    """LMTP: LHLO before and after STARTTLS; REQUIRETLS asks nothing of a delivery (RFC 8689 section 4.4)."""
    context, ca = files()
    server = SecureServer(context)
    route = Route("lmtp", "mx.example.com:2424")
    results = Site(server, ca=ca).relay(
        loop_name, message(requiretls=True, route=route), policy=Policy("verify"), route=route
    )
    assert [one[0] for one in shown(results)] == ["delivered"]
    assert server.sessions[0][:3] == ["LHLO us.example.com", "STARTTLS", "tls LHLO us.example.com"]
