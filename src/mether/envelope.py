"""The envelope: what MAIL and RCPT say of a message (RFC 5321 section 2.3.1, RFC 5598 section 4.2.1).

An `Envelope` is a reverse-path, recipients, and the parameters that MAIL carried; a `Recipient` is a
forward-path and the parameters of its RCPT.  They are plain values with no rule in them: what a
command may say is decided in `smtp.parameter`, what a next hop can be told in `smtp.fit`.

Parameters and their RFCs: `body` "7BIT", "8BITMIME" or "BINARYMIME" (6152, 3030); `size` the declared
octets or None (1870); `smtputf8` (6531); `requiretls` (8689); `ret` "FULL" or "HDRS", `envid`, `notify`
and `orcpt` (3461), these last three as the client wrote them; `auth` the mailbox that AUTH= named, "<>" for
none, None when it was not given (4954); `by` (2852); `hold` as a report's Future-Release-Request writes it,
"for;3600" or "until;2026-12-24T18:00:00Z" (4865); `priority` -9 to 9 (6710).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mether.address import Address, ReversePath


class Recipient:
    """A forward-path with its RCPT parameters."""

    __slots__ = ("forward_path", "notify", "orcpt")

    def __init__(self, forward_path: Address, *, orcpt: str | None = None, notify: str | None = None) -> None:
        self.forward_path = forward_path
        self.orcpt = orcpt
        self.notify = notify

    def __repr__(self) -> str:
        return f"Recipient({str(self.forward_path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipient) and (self.forward_path, self.orcpt, self.notify) == (
            other.forward_path,
            other.orcpt,
            other.notify,
        )

    __hash__ = None  # type: ignore[assignment]


class By:
    """DELIVERBY: within `seconds` of the message's arrival (they may be negative once they have passed).

    With `mode` "R" the message is returned when that fails, with "N" its sender is told of the delay;
    `trace` asks for a report from each hop that relays it on (RFC 2852 section 4).
    """

    __slots__ = ("mode", "seconds", "trace")

    def __init__(self, seconds: int, mode: str, trace: bool = False) -> None:
        self.seconds = seconds
        self.mode = mode
        self.trace = trace

    @classmethod
    def of(cls, text: str) -> By:
        """The By whose str() this is.  Raises ValueError."""
        seconds, _, mode = text.partition(";")
        if mode not in ("R", "N", "RT", "NT"):
            raise ValueError(f"{text[:80]!r} where a time of delivery must be")
        return cls(int(seconds), mode[0], mode.endswith("T"))

    def __str__(self) -> str:
        return f"{self.seconds};{self.mode}{'T' if self.trace else ''}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, By) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Envelope:
    """A reverse-path, the recipients, and the MAIL parameters."""

    __slots__ = (
        "auth",
        "body",
        "by",
        "envid",
        "hold",
        "priority",
        "recipients",
        "requiretls",
        "ret",
        "reverse_path",
        "size",
        "smtputf8",
    )

    def __init__(
        self,
        reverse_path: ReversePath,
        recipients: Iterable[Recipient] = (),
        *,
        body: str = "7BIT",
        size: int | None = None,
        smtputf8: bool = False,
        requiretls: bool = False,
        ret: str | None = None,
        envid: str | None = None,
        auth: str | None = None,
        by: By | None = None,
        hold: str | None = None,
        priority: int = 0,
    ) -> None:
        self.reverse_path = reverse_path
        self.recipients = list(recipients)
        self.body = body
        self.size = size
        self.smtputf8 = smtputf8
        self.requiretls = requiretls
        self.ret = ret
        self.envid = envid
        self.auth = auth
        self.by = by
        self.hold = hold
        self.priority = priority

    def __repr__(self) -> str:
        return f"Envelope({self.reverse_path!r}, {self.recipients!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Envelope) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]
