"""XCLIENT: a trusted front end says which client it speaks for (Postfix's ``XCLIENT_README``).

`parse` reads the argument of one XCLIENT command.  Whoever answers it has made sure that the peer is in a
listed network; after the 220 the session begins anew, as after a greeting, with what the command said in
place of what the connection shows.  `KEYWORD` is the line of the EHLO reply, for such peers only.

Values are xtext (RFC 3461 section 4).  ``[UNAVAILABLE]`` and ``[TEMPUNAVAIL]`` say that there is none, and
in mether both mean the same.  An IPv6 address has the prefix ``IPV6:``.

Fails with `BadCommand`, whose reply is 501 5.5.4 and says which attribute is wrong.
"""

from __future__ import annotations

from mether import address, xtext
from mether.reply import Reply
from mether.smtp.command import BadCommand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

MAX_VALUE: Final = 255
"""Characters of a value once it is decoded."""

_NONE: Final = frozenset(("[UNAVAILABLE]", "[TEMPUNAVAIL]"))


class Override:
    """What one XCLIENT command says; None for what it does not name, ``""`` for what is unavailable.

    `name` is the client's host name, `address` and `port` where it connected from, `protocol` "SMTP" or
    "ESMTP", `helo` its EHLO argument, `login` whom it authenticated as; `destination` and
    `destination_port` are what it connected to.  Ports are 0 when unavailable.
    """

    __slots__ = (
        "address",
        "destination",
        "destination_port",
        "helo",
        "login",
        "name",
        "port",
        "protocol",
    )

    def __init__(self) -> None:
        self.name: str | None = None
        self.address: str | None = None
        self.port: int | None = None
        self.protocol: str | None = None
        self.helo: str | None = None
        self.login: str | None = None
        self.destination: str | None = None
        self.destination_port: int | None = None


def parse(argument: str) -> Override:
    """Read ``NAME=value NAME=value ...``.  Raises BadCommand."""
    override = Override()
    words = argument.split()
    if not words:
        raise _bad(f"syntax: {KEYWORD.replace(' ', ' [', 1)} ...]=value")
    for word in words:
        name, equals, written = word.partition("=")
        name = name.upper()
        known = _ATTRIBUTES.get(name)
        if known is None:
            raise _bad(f"attribute {name[:40]} is not known")
        if not (equals and written):
            raise _bad(f"{name} needs a value")
        slot, convert = known
        if getattr(override, slot) is not None:
            raise _bad(f"{name} is given twice")
        if not xtext.is_xtext(written):
            raise _bad(f"the value of {name} is no xtext")
        value = xtext.decode(written)
        if value.upper() in _NONE:
            value = ""
        elif not value.isprintable() or len(value) > MAX_VALUE:
            raise _bad(f"the value of {name} cannot be used")
        try:
            setattr(override, slot, convert(value))
        except ValueError:
            raise _bad(f"{name}={written[:60]} cannot be understood") from None
    return override


def _bad(what: str) -> BadCommand:
    return BadCommand(Reply(501, "5.5.4", what), "XCLIENT")


def _name(value: str) -> str:
    if value:
        address.check_domain(value)
    return value


def _address(value: str) -> str:
    if not value:
        return ""
    version6 = value[:5].upper() == "IPV6:"
    found = address.literal_ip(f"[IPv6:{value[5:]}]" if version6 else f"[{value}]")
    if not found:
        raise ValueError
    # An IPv4 address in IPv6's clothes is that IPv4 address.
    mapped = found.lower().removeprefix("::ffff:")
    return mapped if "." in mapped and ":" not in mapped else found


def _port(value: str) -> int:
    if not value:
        return 0
    if not (value.isascii() and value.isdigit() and len(value) <= 5 and int(value) <= 65535):
        raise ValueError
    return int(value)


def _protocol(value: str) -> str:
    value = value.upper()
    if value not in ("SMTP", "ESMTP", ""):
        raise ValueError
    return value


def _helo(value: str) -> str:
    if any(char in value for char in ' \t<>()"\\'):  # as smtp.command takes EHLO
        raise ValueError
    return value


_ATTRIBUTES: Final[dict[str, tuple[str, Callable[[str], str | int]]]] = {
    "NAME": ("name", _name),
    "ADDR": ("address", _address),
    "PORT": ("port", _port),
    "PROTO": ("protocol", _protocol),
    "HELO": ("helo", _helo),
    "LOGIN": ("login", str),
    "DESTADDR": ("destination", _address),
    "DESTPORT": ("destination_port", _port),
}

KEYWORD: Final = " ".join(("XCLIENT", *_ATTRIBUTES))
"""The line of the EHLO reply."""
