"""Addresses in a header section, found and replaced (RFC 5322 section 3.4).

`addresses` gives the addr-specs of the fields that are asked for, `replaced` the section with some of them
changed.  Nothing but those addr-specs is touched: names, comments, groups, encoded-words, folding and octets
that are no ASCII stay as they are.  Obsolete forms are read (routes, white space and comments inside an
addr-spec), and so are names without a domain, as cron writes them.

What cannot be read as a list of addresses is left alone as a whole: a field with a quote, comment or bracket
that does not end, with two addresses and no comma, or with a CR or LF alone.  Nothing here fails, and
it takes time in proportion to the section, which the caller bounds.
"""

from __future__ import annotations

import re
from itertools import pairwise

from mether.content import header
from mether.content.lines import MAX_LINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Final

AUTHORS: Final = frozenset(
    (
        b"from",
        b"sender",
        b"reply-to",
        b"resent-from",
        b"resent-sender",
        b"resent-reply-to",
        b"errors-to",
        b"return-receipt-to",
        b"disposition-notification-to",
    )
)
"""Fields that name who sent a message, and who is answered."""

RECIPIENTS: Final = frozenset((b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc"))
"""Fields that name who gets it."""

_TOKEN: Final = re.compile(
    rb"(?P<blank>[ \t\r\n]+)"
    rb'|(?P<word>[^\x00-\x20\x7f()<>\[\]:;,@"\\]+|"(?:[^"\\]|\\.)*")'
    rb"|(?P<literal>\[(?:[^\[\]\\]|\\.)*\])"
    rb"|(?P<special>[<>:;,@])",
    re.DOTALL,
)
_COMMENT: Final = re.compile(rb"[()]|\\.", re.DOTALL)

_Token = tuple[str, int, int]


class _Malformed(Exception):
    """The field is no list of addresses."""


class _Spec:
    """One addr-spec: where it stands, and its text without white space and comments."""

    __slots__ = ("end", "start", "text")

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.start = start
        self.end = end


def addresses(section: bytes, names: Collection[bytes]) -> list[str]:
    """The addr-specs in the fields of these names (lower case), each once, in order; a name without a
    domain is the name alone."""
    found: dict[str, None] = {}
    for start, end in _places(section, names):
        for spec in _specs(section[start:end]):
            found[spec.text] = None
    return list(found)


def replaced(section: bytes, names: Collection[bytes], change: Mapping[str, str]) -> bytes:
    """The section with the addr-specs of those fields that are keys of `change` replaced by its values.

    A line that would grow beyond 998 octets is folded before an address.
    """
    out: list[bytes] = []
    at = 0
    for start, end in _places(section, names):
        value = section[start:end]
        specs = [one for one in _specs(value) if one.text in change]
        if not specs:
            continue
        new = _put(value, specs, change, fold=False)
        before = section[section.rfind(b"\n", 0, start) + 1 : start]
        if max(map(len, (before + new).split(b"\r\n"))) > MAX_LINE:
            new = _put(value, specs, change, fold=True)
        out += (section[at:start], new)
        at = end
    if not out:
        return section
    out.append(section[at:])
    return b"".join(out)


def _put(value: bytes, specs: list[_Spec], change: Mapping[str, str], *, fold: bool) -> bytes:
    out: list[bytes] = []
    at = 0
    for spec in specs:
        out.append(value[at : spec.start])
        if fold and value[value.rfind(b"\n", 0, spec.start) + 1 : spec.start].strip(b" \t"):
            out.append(b"\r\n ")
        out.append(change[spec.text].encode())
        at = spec.end
    out.append(value[at:])
    return b"".join(out)


def _places(section: bytes, names: Collection[bytes]) -> Iterator[tuple[int, int]]:
    """Where the values of those fields begin and end, without the last CRLF."""
    for start, end in header.spans(section):
        colon = section.find(b":", start, min(end, start + 100))
        if colon < 0 or section[start:colon].rstrip(b" \t").lower() not in names:
            continue
        yield colon + 1, end - 2 if section.endswith(b"\r\n", start, end) else end


def _specs(value: bytes) -> list[_Spec]:
    """The addr-specs of one field; [] when it is no list of addresses."""
    if value.count(b"\n") != value.count(b"\r\n") or value.count(b"\r") != value.count(b"\r\n"):
        return []
    try:
        return _read(value, _tokens(value))
    except _Malformed:
        return []


def _tokens(value: bytes) -> list[_Token]:
    """The tokens but for white space and comments: the kind ("word", "literal", or the special itself),
    where it begins and ends.  Raises _Malformed."""
    out: list[_Token] = []
    at = 0
    while at < len(value):
        if value[at] == 0x28:
            at = _after_comment(value, at)
            continue
        match = _TOKEN.match(value, at)
        if match is None:
            raise _Malformed
        kind = match.lastgroup or ""
        if kind != "blank":
            out.append((match.group().decode("ascii") if kind == "special" else kind, at, match.end()))
        at = match.end()
    return out


def _after_comment(value: bytes, at: int) -> int:
    """Where a comment has ended; comments may stand within comments.  Raises _Malformed."""
    depth = 0
    for match in _COMMENT.finditer(value, at):
        char = match.group()
        depth += (char == b"(") - (char == b")")
        if not depth:
            return match.end()
    raise _Malformed


def _read(value: bytes, tokens: list[_Token]) -> list[_Spec]:
    """address-list of RFC 5322 section 3.4, and 4.4 for the obsolete forms.  Raises _Malformed."""
    found: list[_Spec] = []
    part: list[_Token] = []
    angle = False  # whether this part had its <address>
    group = False
    at = 0
    while at < len(tokens):
        token = tokens[at]
        kind = token[0]
        at += 1
        if kind in (",", ";"):
            if kind == ";" and not group:
                raise _Malformed
            _end(value, part, angle, found)
            group = group and kind == ","
            part, angle = [], False
        elif kind == ":":
            if group or angle or not part or any(one[0] != "word" for one in part):
                raise _Malformed
            group, part = True, []
        elif kind == "<":
            end = next((i for i in range(at, len(tokens)) if tokens[i][0] in "<>"), None)
            if angle or end is None or tokens[end][0] != ">" or any(one[0] != "word" for one in part):
                raise _Malformed
            inner = _without_route(tokens[at:end])
            if inner:
                _add(value, inner, found)
            angle, at = True, end + 1
        else:
            if angle or kind == ">":
                raise _Malformed
            part.append(token)
    if group:
        raise _Malformed
    _end(value, part, angle, found)
    return found


def _end(value: bytes, part: list[_Token], angle: bool, found: list[_Spec]) -> None:
    if part and not angle:
        _add(value, part, found)


def _without_route(tokens: list[_Token]) -> list[_Token]:
    """What follows ``@a,@b:`` of an obsolete route."""
    if tokens and tokens[0][0] in "@,":
        for place, token in enumerate(tokens):
            if token[0] == ":":
                return tokens[place + 1 :]
        raise _Malformed
    return tokens


def _add(value: bytes, tokens: list[_Token], found: list[_Spec]) -> None:
    """Add the addr-spec that these tokens are; of one that is no UTF-8 nobody knows what it means."""
    sign = next((i for i, one in enumerate(tokens) if one[0] == "@"), None)
    local = tokens if sign is None else tokens[:sign]
    domain = [] if sign is None else tokens[sign + 1 :]
    if not local or any(one[0] != "word" for one in local) or (sign is not None and not domain):
        raise _Malformed
    if any(one[0] not in ("word", "literal") for one in domain):
        raise _Malformed
    for words in (local, domain):
        for one, two in pairwise(words):
            # Words are joined by dots; two without one are a name, and no address.
            if value[one[2] - 1 : one[2]] != b"." and value[two[1] : two[1] + 1] != b".":
                raise _Malformed
    octets = b"".join(value[start:end] for _, start, end in local)
    if sign is not None:
        octets += b"@" + b"".join(value[start:end] for _, start, end in domain)
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return
    found.append(_Spec(text, tokens[0][1], tokens[-1][2]))
