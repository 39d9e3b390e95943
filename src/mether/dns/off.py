"""No DNS at all: ``[dns] enabled = false``.

The hosts file and addresses still work, as they are looked at before.  Every question is answered at once
with `Unavailable`, so that mail for a domain that needs an MX waits until the configuration has a route for
it; nothing of the DNS library is imported.
"""

from __future__ import annotations

from mether.dns.answer import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Off:
    """A `dns.answer.Resolver` that asks nobody."""

    async def mx(self, domain: str) -> NoReturn:
        """Raises Unavailable."""
        raise _off()

    async def addresses(self, host: str, *, search: bool = False) -> NoReturn:
        """Raises Unavailable."""
        raise _off()


def _off() -> Unavailable:
    return Unavailable("the DNS is switched off here ([dns] enabled = false)")
