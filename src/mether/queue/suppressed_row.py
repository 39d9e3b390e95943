"""An address that mail is not sent to: what is remembered of it, and which of them a person means.

Addresses are told apart as the list needs it (`key`): the domain in lower case with A-labels, the local-part
without quotes and without case.  A host may tell local-parts apart by case (RFC 5321 section 2.4), but next
to none does, and lists come from people and services that write them as they like: who is remembered as
``Ann@`` is not to be written to as ``ann@``.  A sub-address (``ann+shop@``) is an address of its own.

A whole domain is on the list as an address without a local-part, ``@example.net``: no mail is sent to anybody
in it, and domains below it are others.  `entry` reads either.  But for that nothing here fails.
"""

from __future__ import annotations

from mether.address import Address, AddressError, ascii_domain, check_domain, parse_argument, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Literal

    Source = Literal["delivery", "bounce", "person", "import"]
    Key = tuple[str, str]

SOURCES: Final = ("delivery", "bounce", "person", "import")
"""Who says so: a server that we spoke to, a bounce that was read, a person, a file that was imported."""

MAX_REASON: Final = 500
"""Characters of a reason, and of a note."""

MAX_REMOTE: Final = 255
"""Characters of a host's name."""


def key(address: Address) -> Key | None:
    """What identifies an address in the list: domain and local-part, "" for all of them; None where it has no
    domain."""
    if not address.domain:
        return None
    try:
        domain = ascii_domain(address.domain)
    except AddressError:
        domain = address.domain.lower()
    return domain, unquote(address.local_part).casefold()


def entry(text: str, *, bare: bool = False) -> Address:
    """The address that a person or a file names, or the domain, as ``@example.net`` or ``*@example.net``;
    with `bare` as ``example.net``, too.  Raises AddressError."""
    text = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    local, at, domain = text.rpartition("@")
    if local in ("", "*") and (at or (bare and "." in domain)) and domain:
        check_domain(domain, utf8=True)
        return Address("", domain)
    if not local.startswith('"') and ("*" in local or "?" in local):
        raise AddressError("a pattern, where an address or @domain is expected")
    address = parse_argument(text)
    if address is None or not address.domain:
        raise AddressError("it has no domain")
    return address


def bounded(text: str, most: int = MAX_REASON) -> str:
    """The text on one line, of at most so many characters, each of which can be shown."""
    if len(text) <= most and text.isprintable():
        return text
    words = " ".join(text[: 4 * most].split())[:most]
    if words.isprintable():
        return words
    return "".join(char if char.isprintable() else "?" for char in words)


class Suppressed:
    """An address of the list.

    `kind` is the class of its failure (`content.classify`) and `status` the enhanced status code, either ""
    where nobody knows; `reason` what was said, and `remote` by which host; `note` what a person says besides.
    `since` and `last` are when it failed first and last, in Unix seconds, `times` how often; it is on the
    list `until` then, None for ever.  Not `active`, it has failed, but not often enough.  Texts that are too
    long are cut.
    """

    __slots__ = (
        "active",
        "address",
        "kind",
        "last",
        "note",
        "reason",
        "remote",
        "since",
        "source",
        "status",
        "times",
        "until",
    )

    def __init__(
        self,
        address: Address,
        *,
        source: Source | str,
        since: float,
        kind: str = "",
        status: str = "",
        reason: str = "",
        remote: str = "",
        note: str = "",
        last: float | None = None,
        times: int = 1,
        until: float | None = None,
        active: bool = True,
    ) -> None:
        self.address = address
        self.source = source
        self.since = since
        self.kind = kind
        self.status = status
        self.reason = bounded(reason)
        self.remote = bounded(remote, MAX_REMOTE)
        self.note = bounded(note)
        self.last = since if last is None else last
        self.times = times
        self.until = until
        self.active = active

    def stops(self, now: float) -> bool:
        """Whether no mail is sent there at `now`."""
        return self.active and (self.until is None or now < self.until)

    @property
    def came_back(self) -> bool:
        """Whether mail for it did, as far as is known: else somebody does not want it sent."""
        return self.source != "person" and self.kind != "policy"

    def __repr__(self) -> str:
        return f"Suppressed({str(self.address)!r}, {self.source!r}, {self.kind!r})"


def texts(at: Key, one: Suppressed) -> tuple[str, ...]:
    """The first columns of the row of an address, which `at` identifies."""
    address = Address(one.address.local_part, at[0])
    texts = (*at, str(address), one.kind, one.status, one.reason, one.remote, one.note, one.source)
    return tuple(each.encode("utf-8", "replace").decode() for each in texts)


def of_row(row: tuple[Any, ...]) -> Suppressed:
    """The address in a row, which was read as one when it was written."""
    _, _, text, kind, status, reason, remote, note, source, since, last, times, until, active = row
    local, _, domain = text.rpartition("@")
    return Suppressed(
        Address(local, domain),
        source=source,
        since=since,
        kind=kind,
        status=status,
        reason=reason,
        remote=remote,
        note=note,
        last=last,
        times=times,
        until=until,
        active=bool(active),
    )


class Chosen:
    """Which addresses are meant: like the glob `match`, of a `kind`, from a `source`, that failed last
    `before` or `after` a time; each None for any.  With `everything`, those too that stop no mail: what has
    not failed often enough, and what is over."""

    __slots__ = ("after", "before", "everything", "kind", "match", "source")

    def __init__(
        self,
        *,
        match: str | None = None,
        kind: str | None = None,
        source: str | None = None,
        before: float | None = None,
        after: float | None = None,
        everything: bool = False,
    ) -> None:
        self.match = match
        self.kind = kind
        self.source = source
        self.before = before
        self.after = after
        self.everything = everything

    @property
    def narrow(self) -> bool:
        """Whether it chooses less than all."""
        return any(each is not None for each in (self.match, self.kind, self.source, self.before, self.after))

    def takes(self, one: Suppressed, now: float) -> bool:
        """Whether the address is meant."""
        from mether.queue.glob import glob

        return (
            (self.everything or one.stops(now))
            and (self.kind is None or self.kind == one.kind)
            and (self.source is None or self.source == one.source)
            and (self.before is None or one.last < self.before)
            and (self.after is None or one.last >= self.after)
            and (self.match is None or glob(self.match, str(one.address)))
        )

    @property
    def domain(self) -> str | None:
        """The only domain in which there can be some, where the glob names one."""
        if self.match is None:
            return None
        domain = self.match.rpartition("@")[2]
        if "@" not in self.match or "*" in domain or "?" in domain:
            return None
        try:
            return ascii_domain(domain)
        except AddressError:
            return domain.lower()
