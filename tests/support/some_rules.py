"""Rules of every kind and requests that meet some of them, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from mether.address import Address
from mether.routing.match import Addresses, Logins
from mether.routing.networks import Networks
from mether.routing.request import Request
from mether.routing.rule import Rule


class Table:
    """A source with one key."""

    name = "table"

    def get(self, key: str) -> str | None:
        return "" if key in ("b.test", "ann@b.test", "tom") else None

    async def learn(self, key: str) -> None:
        raise AssertionError


def some(*patterns: object) -> st.SearchStrategy[list[object]]:
    return st.lists(st.sampled_from(patterns), min_size=1, max_size=3)


TABLE = Table()
DOMAINS = some("*", "a.test", "b.test", ".test", ".a.test", "a*", "?.test", "*.a.test", TABLE)
ADDRESSES = some("*", "<>", "ann@a.test", "b.test", ".test", "*@*", "a*@*", "*@?.test", TABLE)
LOGINS = st.one_of(st.none(), st.booleans(), some("ann", "a*", "tom", TABLE).map(Logins))
NETWORKS = some("192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "0.0.0.0/0")
RULES = st.lists(
    st.builds(
        lambda domains, senders, recipients, clients, programs, login, listeners: Rule(
            domains,
            "discard",
            senders=senders and Addresses(senders),
            recipients=recipients and Addresses(recipients),
            clients=clients and Networks(clients),
            programs=programs,
            authenticated=login,
            listeners=listeners,
        ),
        DOMAINS,
        st.none() | ADDRESSES,
        st.none() | ADDRESSES,
        st.none() | NETWORKS,
        st.booleans(),
        LOGINS,
        st.none() | st.just(["inner"]),
    ),
    max_size=8,
)
ADDRESS = st.builds(
    Address, st.sampled_from(["ann", "bob"]), st.sampled_from(["a.test", "b.test", "x.a.test", "c"])
)
REQUESTS = st.builds(
    lambda to, sender, client, login, listener: Request(
        to, sender=sender, client=client, login=login, listener=listener
    ),
    ADDRESS,
    st.none() | ADDRESS,
    st.sampled_from(["", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "198.51.100.1"]),
    st.sampled_from(["", "ann", "Abel", "tom"]),
    st.sampled_from(["", "inner"]),
)
