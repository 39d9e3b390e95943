"""What an address comes to, as `routing.expand` finds it: who gets its mail, or why nobody does.

Plain values; nothing here fails.
"""

from __future__ import annotations

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Literal

    from mether.address import Address
    from mether.outcome import Route
    from mether.routing.router import Decision

    How = Literal["direct", "alias", "list"]

UNKNOWN: Final = Reply(550, "5.1.1", "no such user here")
LOOP: Final = Reply(550, "5.4.6", "the aliases for this address are a loop")
EMPTY: Final = Reply(550, "5.2.4", "the list has no members")
FORBIDDEN: Final = Reply(550, "5.7.1", "mail to programs and files is not allowed here")
NO_PLACE: Final = Reply(550, "5.1.3", "that is no address at the domain to which mail for it goes")


class Delivery:
    """One who gets the mail: `address` and its next hop `route`.

    `how`: it was named itself ("direct"), is the only one of an alias ("alias") or one of many ("list").
    `owner` is the reverse-path that a mailing list gives it, None where the sender's stays.  `forwarded`: an
    alias sends it on to another host.  `hold` is why it is to be held, None when it is not.
    """

    __slots__ = ("address", "forwarded", "hold", "how", "owner", "route")

    def __init__(
        self,
        address: Address,
        route: Route,
        how: How = "direct",
        *,
        owner: Address | None = None,
        forwarded: bool = False,
        hold: str | None = None,
    ) -> None:
        self.address = address
        self.route = route
        self.how: How = how
        self.owner = owner
        self.forwarded = forwarded
        self.hold = hold

    def __repr__(self) -> str:
        return f"Delivery({str(self.address)!r}, {self.route!r}, {self.how!r})"


class Refused:
    """A member that cannot get the mail: its `address`, the `reply` that says why, and the list's `owner`,
    who is to be told of it instead of the sender, or None."""

    __slots__ = ("address", "owner", "reply")

    def __init__(self, address: Address, reply: Reply, owner: Address | None = None) -> None:
        self.address = address
        self.reply = reply
        self.owner = owner


class Resolution:
    """What an address comes to.

    `decision` is the router's for the address itself, `open` whether anybody may send to it.  `reply` refuses
    it, and then there is nothing else; otherwise mail goes to the `deliveries`, and with none of them is
    forgotten (`discard`).  `refused` are members that cannot get it: somebody is owed a report.  `problems`
    are lines for the log.
    """

    __slots__ = ("decision", "deliveries", "discard", "problems", "refused", "reply")

    def __init__(
        self,
        decision: Decision,
        deliveries: Sequence[Delivery] = (),
        *,
        reply: Reply | None = None,
        discard: bool = False,
        refused: Sequence[Refused] = (),
        problems: Sequence[str] = (),
    ) -> None:
        self.decision = decision
        self.deliveries = deliveries
        self.reply = reply
        self.discard = discard
        self.refused = refused
        self.problems = problems

    @property
    def open(self) -> bool:
        """Whether anybody may send mail to the address."""
        return self.decision.open

    @property
    def hold(self) -> str | None:
        """Why mail for the first that is held is held, None when nothing is."""
        return next((one.hold for one in self.deliveries if one.hold is not None), None)

    @property
    def how(self) -> How:
        """Whether it is an alias of one or of many, or none."""
        return self.deliveries[0].how if self.deliveries else "direct"
