"""Which rules a request can meet, without asking each of them.

For each thing that rules ask for (domain, sender, recipient, client, login, listener) there is a table that
gives for a value the rules that may take it, as the bits of a number, bit 0 for the first rule.  These are
joined with ``&``, and the lowest bit that is left is the first rule to ask.  None is missing that would take
the value.  One too many does no harm, since a rule with globs or with tables of the configuration has the
last word itself; all others are told apart exactly.

So a decision costs a look-up for each kind of thing, however many rules there are; one that no rule which is
still in question asks for is left out.  Pure; fails only as a table does.
"""

from __future__ import annotations

from mether.routing.match import compiled, parents
from mether.routing.networks import Prefixes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import Final, TypeVar

    from mether.routing.match import Addresses, Domains, Logins
    from mether.routing.request import Request
    from mether.routing.rule import Rule

    T = TypeVar("T")

REMEMBERED: Final = 4096
"""Values of which each index keeps what it found by globs."""


class _Texts:
    """Rules by exact texts and by globs: `always` are those that any text may meet, `globbing` those with
    globs."""

    __slots__ = ("_exact", "_known", "_search", "_tails", "always", "globbing")

    def __init__(self) -> None:
        self.always = self.globbing = 0
        self._exact: dict[str, int] = {}
        self._search: Callable[[str], re.Match[str] | None] | None = None
        self._tails: list[int] = []
        self._known: dict[str, int] = {}

    def add(self, bit: int, exact: Collection[str]) -> None:
        for text in exact:
            self._exact[text] = self._exact.get(text, 0) | bit

    def globs(self, globs: Sequence[tuple[int, str]]) -> None:
        """The globs of all rules, in order."""
        self._search = compiled((glob for _, glob in globs), groups=True)
        tail = 0
        for bit, _ in reversed(globs):
            tail |= bit
            self._tails.append(tail)
        self._tails.reverse()
        self.globbing = tail

    def find(self, text: str, among: int = -1) -> int:
        """The rules of those `among` that may take it, and maybe others."""
        found = self.always | self._exact.get(text, 0)
        if self._search is None or not among & ~found & self.globbing:
            return found
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            match = self._search(text)
            # The search ends at the first glob that matches: all behind it may match too.
            known = self._known[text] = 0 if match is None else self._tails[(match.lastindex or 1) - 1]
        return found | known


class ByDomain(_Texts):
    """Rules by a domain."""

    __slots__ = ("_below", "empty")

    def __init__(self, conditions: Sequence[Domains | None]) -> None:
        super().__init__()
        self._below: dict[str, int] = {}
        self.empty = not any(conditions)
        globs = []
        for bit, one in _bits(conditions):
            if one is None:
                continue
            if one.everything or one.sources:
                self.always |= bit
            self.add(bit, one.exact)
            for parent in one.below:
                self._below[parent] = self._below.get(parent, 0) | bit
            globs += [(bit, glob) for glob in one.globs]
        self.globs(globs)

    def find(self, domain: str, among: int = -1) -> int:
        """The rules of those `among` that may take it, and maybe others."""
        found = super().find(domain, among)
        if self._below and among & ~found:
            for parent in parents(domain):
                found |= self._below.get(parent, 0)
        return found


class ByAddress(_Texts):
    """Rules by an `address_key`."""

    __slots__ = ("_domains",)

    def __init__(self, conditions: Sequence[Addresses | None]) -> None:
        super().__init__()
        self._domains = ByDomain([None if one is None else one.domains for one in conditions])
        globs = []
        for bit, one in _bits(conditions):
            if one is None or one.everything or one.sources:
                self.always |= bit
            if one is not None:
                self.add(bit, one.exact)
                globs += [(bit, glob) for glob in one.globs]
        self.globs(globs)

    def find(self, key: str, among: int = -1) -> int:
        """The rules of those `among` that may take it, and maybe others."""
        found = super().find(key, among)
        among &= ~found
        if self._domains.empty or not among or key == "<>":
            return found
        return found | self._domains.find(key.rpartition("@")[2], among)


class ByLogin(_Texts):
    """Rules by a login, "" for nobody."""

    __slots__ = ("_nobody",)

    def __init__(self, conditions: Sequence[bool | Logins | None]) -> None:
        super().__init__()
        self._nobody = 0
        globs = []
        for bit, one in _bits(conditions):
            if not one:
                self._nobody |= bit
            if one is None or one is True:
                self.always |= bit
            elif one:
                if one.sources:
                    self.always |= bit
                self.add(bit, one.exact)
                globs += [(bit, glob) for glob in one.globs]
        self.globs(globs)

    def find(self, login: str, among: int = -1) -> int:
        """The rules of those `among` that may take what they send, and maybe others."""
        return super().find(login.lower(), among) if login else self._nobody


class ByClient:
    """Rules by an IP address, "" for a program of this host."""

    __slots__ = ("_always", "_here", "_prefixes")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._prefixes = Prefixes()
        self._here = self._always = 0
        for bit, rule in _bits(rules):
            if rule.programs:
                self._here |= bit
            elif rule.clients is None:
                self._always |= bit
            for network in () if rule.clients is None else rule.clients.networks:
                self._prefixes.add(network, bit)

    def find(self, client: str) -> int:
        """The rules that may take what comes from there."""
        return self._always | (self._prefixes.find(client) if client else self._here)


class ByListener(_Texts):
    """Rules by the name of a listener, "" for none."""

    __slots__ = ()

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__()
        for bit, rule in _bits(rules):
            if rule.listeners is None:
                self.always |= bit
            else:
                self.add(bit, rule.listeners)


class Index:
    """The `rules`, by all that they ask for."""

    __slots__ = ("_client", "_domain", "_listener", "_login", "_recipient", "_sender", "rules")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._domain = ByDomain([rule.domains for rule in rules])
        senders = [rule.senders for rule in rules]
        recipients = [rule.recipients for rule in rules]
        logins = [rule.authenticated for rule in rules]
        clients = any(rule.clients is not None or rule.programs for rule in rules)
        listeners = any(rule.listeners is not None for rule in rules)
        # What no rule asks for costs nothing.
        self._sender = ByAddress(senders) if any(senders) else None
        self._recipient = ByAddress(recipients) if any(recipients) else None
        self._login = ByLogin(logins) if any(one is not None for one in logins) else None
        self._client = ByClient(rules) if clients else None
        self._listener = ByListener(rules) if listeners else None

    def domain(self, domain: str) -> int:
        """The rules that mail for a domain may meet."""
        return self._domain.find(domain)

    def meets(self, request: Request, found: int) -> Iterator[Rule]:
        """The rules in order, of those `found` by its domain, that take the request.

        Raises TableError or Needs.
        """
        if self._listener is not None:
            found &= self._listener.find(request.listener)
        if found and self._login is not None:
            found &= self._login.find(request.login, found)
        if found and self._client is not None:
            found &= self._client.find(request.client)
        if self._sender is not None and found & ~self._sender.always:
            found &= self._sender.find(request.sender_key, found)
        if self._recipient is not None and found & ~self._recipient.always:
            found &= self._recipient.find(request.key, found)
        while found:
            lowest = found & -found
            found ^= lowest
            rule = self.rules[lowest.bit_length() - 1]
            if rule.plain or rule.takes(request):
                yield rule


def _bits(values: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Each with its bit."""
    return ((1 << number, one) for number, one in enumerate(values))
