"""Mailboxes and paths: the addresses of RFC 5321 section 4.1.2 as values.

An `Address` is a mailbox: a local-part and a domain.  A reverse-path is `Address | None`, where
None is the null reverse-path ``<>``.  The one address without a domain is ``<postmaster>``
(section 4.1.1.3).

`parse` reads a mailbox as it stands between angle brackets; it promises that what it returns can
be written back into a command without changing the meaning of the line: no control character, no
bare angle bracket, no space outside a quoted string.  It fails with `AddressError`, whose text says
what is wrong in words for a person.  Limits are those of section 4.5.3.1 (64 octets of local-part,
255 of domain).  U-labels and UTF-8 local-parts (RFC 6531) are taken only when asked for.

This module imports nothing at start: the one-shot programs pay for every import.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_LOCAL_PART: Final = 64
MAX_DOMAIN: Final = 255
MAX_LABEL: Final = 63
MAX_PATH: Final = 256

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_DOT_STRING: Final = frozenset(_LETTERS + _DIGITS + "!#$%&'*+-/=?^_`{|}~.")
_LDH: Final = frozenset(_LETTERS + _DIGITS + "-")
_QUOTED: Final = frozenset(map(chr, range(32, 127)))
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class AddressError(ValueError):
    """The text is not a mailbox; str() of it says why, for a person."""


class Address:
    """A mailbox.

    `local_part` is kept as received, quotes included; `domain` is kept as received and is ``""``
    only for the bare ``postmaster``.  Two addresses are equal when they name the same mailbox: the
    domain is compared without case and the local-part without needless quoting (RFC 5321 sections
    2.4 and 4.1.2), except that ``postmaster`` is equal in any case.  `is_ascii` tells whether it can be sent
    without SMTPUTF8.
    """

    __slots__ = ("_key", "_text", "domain", "is_ascii", "local_part")

    def __init__(self, local_part: str, domain: str) -> None:
        self.local_part = local_part
        self.domain = domain
        self._key: tuple[str, str] | None = None
        self._text = f"{local_part}@{domain}" if domain else local_part
        self.is_ascii = self._text.isascii()

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the mailbox: (local-part without quoting, lower-case A-label domain)."""
        if self._key is None:
            local = unquote(self.local_part)
            if local.lower() == "postmaster":
                local = "postmaster"
            self._key = (local, self.ascii_domain)
        return self._key

    @property
    def ascii_domain(self) -> str:
        """The domain in lower case, with U-labels as A-labels (RFC 5890)."""
        return ascii_domain(self.domain)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


ReversePath = Address | None


def path_text(path: ReversePath) -> str:
    """The path without its brackets, ``""`` for the null reverse-path."""
    return "" if path is None else str(path)


def parse(text: str, *, utf8: bool = False) -> Address:
    """Read a mailbox, without angle brackets.

    A source route (``@a,@b:user@c``) is parsed and dropped (RFC 5321 section 4.1.1.3).  With
    `utf8`, UTF-8 is taken in the local-part and U-labels in the domain (RFC 6531 section 3.3).
    Raises AddressError.
    """
    if text.startswith("@"):
        text = _after_source_route(text, utf8)
    if text.startswith('"'):
        end = _end_of_quoted(text, utf8)
        local, rest = text[:end], text[end:]
        if not rest.startswith("@"):
            raise AddressError("a quoted local-part must be followed by @ and a domain")
        domain = rest[1:]
    else:
        local, at, domain = text.rpartition("@")
        if not at:
            if text.lower() == "postmaster":
                return Address(text, "")
            raise AddressError("no @ and domain" if text else "empty address")
        _check_dot_string(local, utf8)
    if len(local) > MAX_LOCAL_PART or (utf8 and len(local.encode()) > MAX_LOCAL_PART):
        raise AddressError(f"local-part longer than {MAX_LOCAL_PART} octets")
    check_domain(domain, utf8=utf8)
    return Address(local, domain)


def parse_reverse_path(text: str, *, utf8: bool = False) -> ReversePath:
    """Read a reverse-path without its brackets; ``""`` is the null one.  Raises AddressError."""
    return parse(text, utf8=utf8) if text else None


def parse_argument(text: str) -> ReversePath:
    """Read an address that a person gave in an argument or a file.

    Takes ``user@domain``, ``<user@domain>``, and ``<>`` or the empty string for the null
    reverse-path; UTF-8 is allowed.  Raises AddressError.
    """
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    return parse_reverse_path(text, utf8=True)


def unquote(local_part: str) -> str:
    """The local-part's meaning: quotes and quoted-pair backslashes removed."""
    if not local_part.startswith('"'):
        return local_part
    inner, out, i = local_part[1:-1], [], 0
    while i < len(inner):
        if inner[i] == "\\" and i + 1 < len(inner):
            i += 1
        out.append(inner[i])
        i += 1
    return "".join(out)


def quote(local: str) -> str:
    """Write a local-part in its least quoted form (RFC 5321 section 4.1.2)."""
    try:
        _check_dot_string(local, True)
    except AddressError:
        return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return local


def ascii_domain(domain: str) -> str:
    """The domain in lower case with A-labels; an address literal is only put in lower case.

    Raises AddressError when a U-label has no A-label (RFC 5891).
    """
    if domain.isascii():
        return domain.lower()
    import idna

    try:
        return idna.encode(domain, uts46=True).decode().lower()
    except idna.IDNAError as error:
        raise AddressError(f"the domain {domain!r} has no ASCII form: {error}") from None


def is_literal(domain: str) -> bool:
    """Whether the domain is an address literal, ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``."""
    return domain.startswith("[")


def literal_ip(domain: str) -> str | None:
    """The IP address in an address literal, or None when it is no IPv4 or IPv6 literal."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    inner = domain[1:-1]
    if inner[:5].lower() == "ipv6:":
        return inner[5:] if _is_ipv6(inner[5:]) else None
    return inner if _is_ipv4(inner) else None


def check_domain(domain: str, *, utf8: bool = False) -> None:
    """Raise AddressError unless `domain` is a Domain or an address literal (RFC 5321 section 4.1.2)."""
    if not domain:
        raise AddressError("no domain after the @")
    if domain.startswith("["):
        if literal_ip(domain) is None:
            raise AddressError(f"{domain[:80]!r} is not an address literal such as [192.0.2.1]")
        return
    if not domain.isascii():
        if not utf8:
            raise AddressError("a domain outside ASCII needs SMTPUTF8")
        # What IDNA takes may still hold no LDH rule breaker once encoded: check the encoded form.
        domain = ascii_domain(domain)
    if len(domain) > MAX_DOMAIN:
        raise AddressError(f"domain longer than {MAX_DOMAIN} octets")
    for label in domain.split("."):
        if not label:
            raise AddressError("an empty label in the domain")
        if len(label) > MAX_LABEL:
            raise AddressError(f"a label longer than {MAX_LABEL} octets in the domain")
        if not _LDH.issuperset(label):
            raise AddressError("a character in the domain that is no letter, digit or hyphen")
        if label[0] == "-" or label[-1] == "-":
            raise AddressError("a label in the domain begins or ends with a hyphen")


def _check_dot_string(local: str, utf8: bool) -> None:
    if not local:
        raise AddressError("empty local-part")
    if not _DOT_STRING.issuperset(local):
        for char in local:
            if char not in _DOT_STRING and not (utf8 and not char.isascii() and char.isprintable()):
                what = repr(char) if char.isprintable() else f"the character {ord(char):#04x}"
                raise AddressError(f"{what} is not allowed in an unquoted local-part")
    if local[0] == "." or local[-1] == "." or ".." in local:
        raise AddressError("a dot at the start or end of the local-part, or two in a row")


def _end_of_quoted(text: str, utf8: bool) -> int:
    """The index after the closing quote of a quoted string at the start of `text`."""
    i = 1
    while i < len(text):
        char = text[i]
        if char == '"':
            if i == 1:
                raise AddressError("an empty quoted local-part")  # erratum 5414
            return i + 1
        if char == "\\":
            i += 1
            char = text[i : i + 1]
            if char not in _QUOTED:
                raise AddressError("a backslash in the local-part quotes nothing")
        elif char not in _QUOTED and not (utf8 and not char.isascii() and char.isprintable()):
            raise AddressError(f"the character {ord(char):#04x} is not allowed in a local-part")
        i += 1
    raise AddressError("the quoted local-part has no closing quote")


def _after_source_route(text: str, utf8: bool) -> str:
    """What follows the colon of a source route, whose names are checked and forgotten."""
    route, colon, rest = text.partition(":")
    while colon and route.rpartition(",")[2].startswith("@[") and "]" not in route.rpartition(",")[2]:
        more, colon, rest = rest.partition(":")  # the colons of an IPv6 literal
        route += ":" + more
    if not colon:
        raise AddressError("a source route without its colon")
    for hop in route.split(","):
        if not hop.startswith("@"):
            raise AddressError("a source route must be @domain,@domain:mailbox")
        check_domain(hop[1:], utf8=utf8)
    return rest


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(
        part.isascii() and part.isdigit() and len(part) <= 3 and int(part) <= 255 for part in parts
    )


def _is_ipv6(text: str) -> bool:
    if text.count("::") > 1 or ":::" in text:
        return False
    head, gap, tail = text.partition("::")
    groups = [g for side in (head, tail) if side for g in side.split(":")]
    room = 8
    if groups and "." in groups[-1]:
        if not _is_ipv4(groups.pop()):
            return False
        room = 6
    if not all(group and len(group) <= 4 and _HEX.issuperset(group) for group in groups):
        return False
    return len(groups) < room if gap else len(groups) == room
