"""How much is sent at a time: ``[relay]``, and the keys of ``[[route]]`` that say it for its next hops.

`check_route` raises ConfigError for what contradicts itself.  `limits` makes what `relay.settings` takes.
"""

from __future__ import annotations

from mether.setup import decode
from mether.setup.struct import Struct
from mether.setup.units import rate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from mether.outcome import Route
    from mether.relay.window import Limits
    from mether.routing.router import Router
    from mether.setup.config import Config
    from mether.setup.config import Route as Configured
    from mether.setup.decode import Document, Shape


class Relay(Struct):
    """``[relay]``: for each next hop the `connections` at a time, the messages in each of them, and the
    `rate` of messages (None: as fast as it takes them); for all next hops of a process `max_connections`,
    and the seconds for which an `idle` connection is kept."""

    connections: int = 20
    messages_per_connection: int = 1000
    rate: str | None = None
    max_connections: int = 500
    idle: float = 3.0


def _rate(value: object) -> str:
    text = decode.text(str(value) if isinstance(value, int) else value)
    try:
        rate(text)
    except ValueError as error:
        raise ValueError(f"{error}; {text[:80]!r} is none") from None
    return text


ROUTE: Final[Shape] = {
    "connections": decode.whole(1, 10_000),
    "messages_per_connection": decode.whole(1, 1_000_000),
    "rate": _rate,
}
RELAY: Final[Shape] = {
    **ROUTE,
    "max_connections": decode.whole(1, 100_000),
    "idle": decode.duration,
}


def check_route(document: Document, number: int, values: dict[str, Any]) -> None:
    """Check the limits of one route.  Raises ConfigError."""
    at = ("route", number)
    given = [key for key in ROUTE if key in values]
    if given and not any(kind in values for kind in ("smtp", "lmtp", "mx")):
        raise document.wrong((*at, given[0]), "is for smtp, lmtp and mx: nothing else has connections")


def limits(config: Config, router: Router) -> Callable[[Route], Limits]:
    """The limits of each next hop: the route's that leads there, where it has some, else those for all."""
    from mether.relay.window import Limits

    def made(one: Relay | Configured) -> Limits:
        usual = config.relay
        written = one.rate or usual.rate
        return Limits(
            one.connections or usual.connections,
            one.messages_per_connection or usual.messages_per_connection,
            rate(written) if written else 0.0,
        )

    usual = made(config.relay)
    by_rule = {
        rule: made(route)
        for rule, route in zip(router.rules, config.route, strict=True)
        if any(getattr(route, key) is not None for key in ROUTE)
    }

    def found(route: Route) -> Limits:
        rule = router.sending(route)
        return usual if rule is None else by_rule.get(rule, usual)

    return found if by_rule else lambda route: usual
