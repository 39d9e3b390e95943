"""A session with a host, ready for MAIL: the connection, hello, TLS and the login (RFC 3207, 4954, 8314).

`open` does what the `Need` says: TLS from the beginning or by STARTTLS, hello once more under it, then the
login.  Where the need allows clear text (level may), a server that will not begin TLS is spoken to as it is,
and one whose handshake fails is connected to once more, in clear (checklist TLS-6).

Raises `Lost` or `Refused` for what any session may meet, and `Shortfall` when the host gives less TLS than is
needed or does not take the login.  What each means is for `relay.failure` to say.
"""

from __future__ import annotations

from mether.client.connect import connect_first
from mether.client.session import Lost, own_name
from mether.event import mail as event
from mether.net.tlserror import TlsError
from mether.relay import tlspolicy
from mether.relay.credentials import CredentialsError
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mether.client.session import Timeouts
    from mether.client.stream import StreamClient
    from mether.net.tls import ClientTls, Terms
    from mether.relay.credentials import Login, Logins
    from mether.relay.hosts import Host
    from mether.relay.tlspolicy import Need
    from mether.smtp.sasl_client import Credentials


class Refused(Exception):
    """The host's greeting or its answer to EHLO was no 2yz."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Shortfall(Exception):
    """The host gives less TLS than is needed, or does not take the login.

    `reply` says so, in the host's words where `said`; `alone` tells that other messages may need less; `user`
    is whose login it is; `blames` that the host is at fault, and neither the message nor we.
    """

    def __init__(
        self, reply: Reply, *, alone: bool, said: bool = False, user: str = "", blames: bool = False
    ) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.alone = alone
        self.said = said
        self.user = user
        self.blames = blames


class Account:
    """A login to be used, with what keeps its secret."""

    __slots__ = ("host", "login", "logins")

    def __init__(self, login: Login, logins: Logins, host: str) -> None:
        self.login = login
        self.logins = logins
        self.host = host

    async def credentials(self) -> Credentials:
        """The secret.  Raises Shortfall."""
        try:
            return await self.logins.credentials(self.login)
        except CredentialsError as error:
            raise Shortfall(Reply(451, "4.7.0", str(error)), alone=not self.login.shared) from None


async def open(
    loop: asyncio.AbstractEventLoop,
    host: Host,
    name: str,
    timeouts: Timeouts,
    *,
    lmtp: bool,
    need: Need | None = None,
    tls: ClientTls | None = None,
    account: Account | None = None,
    clients: list[StreamClient] | None = None,
    source: Callable[[str], str] = lambda address: "",
) -> StreamClient:
    """A session with the host, ready for MAIL; without `need` or `tls` in clear.  Raises as told above.

    `clients` gets every session that was begun, whatever comes of it.  `source` is the address of ours from
    which one is connected to, "" for any.
    """
    clients = [] if clients is None else clients
    if need is None or tls is None or need.level == "none":
        need, terms = tlspolicy.Need("none"), None
    else:
        terms = _terms(tls, need, host)
    # Before there is a connection: no server is kept waiting for a secret that can't be had.
    credentials = await account.credentials() if account is not None else None
    try:
        client = await _protected(loop, host, name, timeouts, lmtp, need, terms, clients, source)
    except Lost as error:
        if not error.tls:
            raise
        if not need.fall_back:
            reply = tlspolicy.failed(need, error.tls, str(error))
            raise Shortfall(reply, alone=need.required, blames=not need.required) from None
        client = await _protected(
            loop, host.at(clients[-1].address), name, timeouts, lmtp, need, None, clients, source
        )
    if account is not None and credentials is not None:
        await _login(client, host, account, credentials)
    return client


async def _protected(
    loop: asyncio.AbstractEventLoop,
    host: Host,
    name: str,
    timeouts: Timeouts,
    lmtp: bool,
    need: Need,
    terms: Terms | None,
    clients: list[StreamClient],
    source: Callable[[str], str],
) -> StreamClient:
    """A session that has said hello, under TLS where `terms` are given and the server begins it."""
    begin = terms if need.implicit else None
    client = await connect_first(
        loop,
        host.addresses,
        host.port,
        timeouts,
        begin,
        shown=lambda address: host.at(address).shown,
        source=source,
    )
    clients.append(client)
    host = host.at(client.address)
    try:
        said = own_name(name, client.local)
        reply = await client.hello(said, lmtp=lmtp)
        if reply.ok and terms is not None and not need.implicit:
            began = "STARTTLS" in client.protocol.offer and (await client.starttls(terms)).ok
            if began:
                reply = await client.hello(said, lmtp=lmtp)
            elif not need.fall_back:
                await client.quit()
                raise Shortfall(tlspolicy.not_offered(need), alone=need.required, blames=not need.required)
    except BaseException:
        client.close()
        raise
    if not reply.ok:
        await client.quit()
        raise Refused(reply)
    if client.secure is not None:
        secure = client.secure
        event.secured(
            host.shown,
            secure.version,
            secure.cipher,
            secure.bits,
            outgoing=True,
            verified=secure.verified,
            name=secure.name,
        )
    if need.required and "REQUIRETLS" not in client.protocol.offer:
        await client.quit()
        raise Shortfall(tlspolicy.requiretls_missing(), alone=True)
    return client


async def _login(client: StreamClient, host: Host, account: Account, credentials: Credentials) -> None:
    try:
        reply, said = await client.login(credentials, host=account.host, port=host.port)
    except BaseException:
        client.close()
        raise
    if not reply.ok:
        account.logins.refused(account.login)
        await client.quit()
        raise Shortfall(reply, alone=not account.login.shared, said=said, user=credentials.user)
    client.account = account.login


def _terms(tls: ClientTls, need: Need, host: Host) -> Terms:
    try:
        return tls.terms(
            need.level,
            server_name=need.server_name,
            names=need.names,
            fingerprints=need.fingerprints,
            resume=(host.address, host.port),
        )
    except TlsError as error:
        # A file of ours: no other message fares better, and none goes in clear because of it.
        raise Shortfall(Reply(451, "4.7.5", str(error)), alone=False) from None
