"""Whether mail of this host's programs says who it is from: a name without a domain gets `[service] origin`.

Built in is the host's name, and on a laptop or a virtual machine that name means nothing outside: a
smart host refuses such a sender, and the report to it goes the same way.  Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.setup.config import Config
    from mether.setup.routes import Route

PRIVATE: Final = (
    ".local",
    ".localdomain",
    ".localhost",
    ".internal",
    ".lan",
    ".home.arpa",
    ".intranet",
    ".private",
)
"""Domains below which there are no names for the world (RFC 6762 appendix G, RFC 8375, RFC 6761)."""


def complaints(config: Config) -> Iterator[str]:
    """A line where mail that is from nowhere would go to a smart host as it is."""
    origin = config.service.origin.lower()
    if "." in origin and not origin.endswith(PRIVATE):
        return
    for number, route in enumerate(config.route):
        if _sends_all(route):
            where = (
                config.origins.get("service.origin")
                or config.origins.get("service.hostname")
                or config.origins.get(f"route[{number}]", config.path)
            )
            yield (
                f"{where}: service.origin: mail of this host is from ...@{origin}, which means nothing "
                'outside: say [service] origin = "..." with a domain of yours, or rewrite in the route'
            )
            return


def _sends_all(route: Route) -> bool:
    """Whether everything goes there, under the addresses that it has."""
    return route.smtp is not None and "*" in route.domains and not (route.rewrite or route.masquerade)
