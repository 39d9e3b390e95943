"""The MIME fields of one header: what an entity is, and how its encoding is named anew (RFC 2045).

`read` gives the `Entity` that a header section describes.  It never fails: what contradicts itself or
cannot be read is `odd`, and whoever would change such an entity must leave it alone.  `with_encoding` writes
the header that goes with another encoding.
"""

from __future__ import annotations

from mether.content.header import spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_BOUNDARY: Final = 200
"""Octets of a boundary that is understood; RFC 2046 section 5.1.1 allows 70."""

IDENTITY: Final = frozenset((b"7bit", b"8bit", b"binary"))
"""The encodings that change nothing (RFC 2045 section 6.2)."""

_TSPECIALS: Final = frozenset(b'()<>@,;:\\"/[]?=')
_UNKNOWN_TEXT: Final = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"


class Entity:
    """What a header says of the body below it.

    `kind` is the type and `subtype` the subtype in lower case, text/plain by default; `boundary` that of a
    multipart, None for none that can be used; `encoding` the Content-Transfer-Encoding in lower case,
    ``b"7bit"`` by default; `mime` tells whether there is a MIME-Version, `typed` whether there is a
    Content-Type; `odd` that fields contradict each other or that a line is none.
    """

    __slots__ = ("boundary", "encoding", "kind", "mime", "odd", "subtype", "typed")

    def __init__(self, kind: bytes = b"text", subtype: bytes = b"plain") -> None:
        self.kind = kind
        self.subtype = subtype
        self.boundary: bytes | None = None
        self.encoding = b"7bit"
        self.mime = False
        self.typed = False
        self.odd = False

    @property
    def identity(self) -> bool:
        """Whether the body stands there as it is, not encoded."""
        return self.encoding in IDENTITY


def read(header: bytes, *, digest: bool = False) -> Entity:
    """The entity of a header section, which may end in its empty line.

    `digest`: it is a part of a multipart/digest, where message/rfc822 is the default.
    """
    entity = Entity(b"message", b"rfc822") if digest else Entity()
    types = encodings = 0
    for start, end in spans(header):
        field = header[start:end]
        name, colon, value = field.partition(b":")
        name = name.rstrip(b" \t").lower()
        if not colon or not name or name.translate(None, _NAME):
            # An empty line ends the header; the From line of a mailbox file is no field, yet harmless.
            if field != b"\r\n" and not (start == 0 and field.startswith(b"From ")):
                entity.odd = True
        elif name == b"content-type":
            types += 1
            entity.typed = True
            if types == 1:
                _content_type(entity, value)
        elif name == b"content-transfer-encoding":
            encodings += 1
            entity.encoding = _token(value)
        elif name == b"mime-version":
            entity.mime = True
    if types > 1 or encodings > 1:
        entity.odd = True
    return entity


def with_encoding(header: bytes, encoding: bytes, *, message: bool) -> bytes:
    """The header with this Content-Transfer-Encoding, in the place of the one it had or at its end.

    With `message` it is that of a message, which gets a MIME-Version if it has none, and if it says nothing
    of its content it becomes text of an unknown character set (RFC 1428 section 3).
    """
    new = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    entity = read(header)
    out: list[bytes] = []
    place = -1
    for start, end in spans(header):
        field = header[start:end]
        if field == b"\r\n":
            continue
        if field.partition(b":")[0].rstrip(b" \t").lower() == b"content-transfer-encoding":
            place = len(out)
            field = new
        out.append(field)
    if out and not out[-1].endswith(b"\r\n"):
        out[-1] += b"\r\n"
    if place < 0:
        out.append(new)
        place = len(out) - 1
    if message and not entity.mime:
        out.insert(place, b"MIME-Version: 1.0\r\n" if entity.typed else _UNKNOWN_TEXT)
    out.append(b"\r\n")
    return b"".join(out)


_NAME: Final = bytes(octet for octet in range(33, 127) if octet != 58)


def _content_type(entity: Entity, value: bytes) -> None:
    """Read ``type/subtype; name=value ...``."""
    words = _words(value)
    kind = words[0].lower() if words else b""
    if kind in (b"multipart", b"message"):
        entity.kind, entity.subtype = kind, b""
    if not (len(words) >= 3 and words[1] == b"/" and kind and words[2] not in (b";", b"/", b"=")):
        # Of a composite type nobody knows then what it holds; else it is text/plain (RFC 2045 section 5.2).
        entity.odd = entity.kind != b"text"
        return
    entity.kind, entity.subtype = kind, words[2].lower()
    for at in range(3, len(words) - 3):
        if words[at] == b";" and words[at + 2] == b"=":
            name, boundary = words[at + 1].lower(), words[at + 3]
            if name == b"boundary":
                if entity.boundary is not None:
                    entity.odd = True
                boundary = boundary.rstrip(b" \t")
                if 0 < len(boundary) <= MAX_BOUNDARY and b"\r" not in boundary and b"\n" not in boundary:
                    entity.boundary = boundary
            elif name.startswith(b"boundary*"):
                entity.odd = True  # RFC 2231 pieces: nobody writes a boundary so


def _token(value: bytes) -> bytes:
    words = _words(value)
    return words[0].lower() if len(words) == 1 else b"?"


def _words(value: bytes) -> list[bytes]:
    """Tokens, quoted strings (without quotes and backslashes) and specials, comments left out."""
    words: list[bytes] = []
    at, size = 0, len(value)
    while at < size:
        octet = value[at]
        if octet in b" \t\r\n":
            at += 1
        elif octet == 40:
            at = _after_comment(value, at)
        elif octet == 34:
            text, at = bytearray(), at + 1
            while at < size and value[at] != 34:
                if value[at] == 92:
                    at += 1
                text += value[at : at + 1]
                at += 1
            words.append(bytes(text.replace(b"\r\n", b"")))
            at += 1
        elif octet in _TSPECIALS:
            words.append(value[at : at + 1])
            at += 1
        else:
            start = at
            while at < size and value[at] not in _TSPECIALS and value[at] not in b" \t\r\n":
                at += 1
            words.append(value[start:at])
    return words


def _after_comment(value: bytes, at: int) -> int:
    depth = 0
    while at < len(value):
        octet = value[at]
        at += 1
        if octet == 92:
            at += 1
        elif octet == 40:
            depth += 1
        elif octet == 41:
            depth -= 1
            if not depth:
                break
    return at
