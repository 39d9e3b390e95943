"""Content made fit for a server that takes no 8-bit, or no binary, content (RFC 6152 section 3, RFC 3030).

    made = plan(content.chunks(), "7bit")        raises Unconvertible
    for piece in rewrite(content.chunks(), made): ...

The first pass finds what each part holds, the second writes it anew; neither keeps more than a header.
Bodies that do not fit are encoded in quoted-printable or base64 and decode to the octets they were, text to
the lines it was (checklist 8BM-2, 8BM-5); a part that fits stays as it is, but for a label (``8bit``,
``binary``) that claims more than there is.  Multiparts and message/rfc822 are never encoded but gone into.
A message that says nothing of its content becomes text of an unknown character set (RFC 1428).

Unconvertible, and thus raised: what does not fit in a header, before, between or after the parts, in what is
encoded already, in anything signed (multipart/signed, application/pkcs7-mime), in types that allow no
encoding, or in a part whose fields contradict each other.  None of it could be changed without loss.

"7bit" leaves no octet above 127.  Neither leaves a NUL or a CR or LF alone.  Lines over 998 octets are broken
up wherever a part can be encoded, and left where it cannot.
"""

from __future__ import annotations

from mether.content import mime_fields
from mether.content.mime_encode import Base64, QuotedPrintable
from mether.content.mime_walk import BODY, END, HEADER, Part, TooComplex, Walker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

MAX_LINE: Final = 998

_HIGH: Final = bytes(range(128, 256))
_RANK: Final = {b"7bit": 0, b"8bit": 1, b"binary": 2}
_UNENCODABLE: Final = frozenset(
    (b"partial", b"external-body", b"delivery-status", b"disposition-notification")
)
_SIGNED: Final = frozenset((b"pkcs7-mime", b"x-pkcs7-mime"))


class Unconvertible(Exception):
    """The content cannot be converted without loss; str() says why, for a person."""


class Plan:
    """What `rewrite` is to do: for each part, by its number, its new encoding, None where it stays."""

    __slots__ = ("encodings", "target")

    def __init__(self, target: str, encodings: list[bytes | None]) -> None:
        self.target = target
        self.encodings = encodings

    @property
    def changes(self) -> bool:
        """Whether anything is written anew."""
        return any(encoding is not None for encoding in self.encodings)


class Scan:
    """What was seen: `high` octets above 127; whether a CR or LF alone or a NUL is there (`loose`); whether a
    line is over 998 octets (`long`)."""

    __slots__ = ("_line", "high", "long", "loose", "size")

    def __init__(self) -> None:
        self.high = 0
        self.size = 0
        self.loose = False
        self.long = False
        self._line = 0

    def feed(self, data: bytes) -> None:
        """The next octets, which do not end between a CR and its LF."""
        self.size += len(data)
        if not data.isascii():
            self.high += len(data) - len(data.translate(None, _HIGH))
        pairs = data.count(b"\r\n")
        if data.count(b"\r") != pairs or data.count(b"\n") != pairs or b"\0" in data:
            self.loose = True
        if not self.long:
            first, *lines = data.split(b"\r\n")
            longest = self._line + len(first)
            self._line = len(lines[-1]) if lines else longest
            self.long = max(longest, max(map(len, lines), default=0)) > MAX_LINE

    def fits(self, target: str) -> bool:
        """Whether nothing in it keeps it from such a server, long lines apart."""
        return not self.loose and not (self.high and target == "7bit")


def plan(chunks: Iterable[bytes], target: str) -> Plan:
    """What must be changed for `target`, "7bit" or "8bit".

    Raises Unconvertible, and what reading `chunks` raises.
    """
    walker = Walker()
    encodings: list[bytes | None] = []
    scan = Scan()
    try:
        for event, number, data in walker.walk(chunks):
            if event == BODY:
                scan.feed(data)
            elif event == END:
                encodings[number] = _encoding(walker.parts[number], scan, target)
                scan = Scan()
            else:
                other = Scan()
                other.feed(data)
                if not other.fits(target):
                    raise Unconvertible(
                        "a header field holds what the next hop does not take"
                        if event == HEADER
                        else "there is text outside the parts of a multipart that the next hop does not take"
                    )
                if event == HEADER:
                    encodings.append(_label(walker.parts[number], target))
    except TooComplex as error:
        raise Unconvertible(str(error)) from None
    return Plan(target, encodings)


def rewrite(chunks: Iterable[bytes], plan: Plan) -> Iterator[bytes]:
    """The converted content; `chunks` are those that the plan was made of.  Raises what reading them does."""
    walker = Walker()
    encoder: QuotedPrintable | Base64 | None = None
    # The end of a body is written when it is known whether anything follows.
    ended: QuotedPrintable | Base64 | None = None
    for event, number, data in walker.walk(chunks):
        if ended is not None:
            yield ended.end(last=False)
            ended = None
        if event == HEADER:
            encoding = plan.encodings[number]
            if encoding is None:
                yield data
            else:
                yield mime_fields.with_encoding(data, encoding, message=walker.parts[number].message)
            if encoding == b"quoted-printable":
                encoder = QuotedPrintable()
            elif encoding == b"base64":
                encoder = Base64()
        elif event == BODY and encoder is not None:
            yield encoder.feed(data)
        elif event == END:
            ended, encoder = encoder, None
        elif data:
            yield data
    if ended is not None:
        yield ended.end(last=True)


def _label(part: Part, target: str) -> bytes | None:
    """The label of a multipart or message that claims more than will be there."""
    entity = part.entity
    if part.frozen or entity.kind not in (b"multipart", b"message"):
        return None
    return target.encode() if _RANK.get(entity.encoding, 0) > _RANK[target.encode()] else None


def _encoding(part: Part, scan: Scan, target: str) -> bytes | None:
    """The encoding for a body in which `scan` saw this."""
    entity = part.entity
    fits = scan.fits(target)
    kind, subtype = entity.kind, entity.subtype
    if not entity.identity:
        if not fits:
            raise Unconvertible("a part said to be encoded holds what no encoding does")
        return None
    rigid = kind == b"multipart" or (kind == b"message" and subtype in _UNENCODABLE)
    if part.frozen or rigid or (kind == b"application" and subtype in _SIGNED):
        if not fits:
            raise Unconvertible(
                "a signed or malformed part holds what the next hop does not take"
                if not rigid
                else "a part of a type that allows no encoding holds what the next hop does not take"
            )
        return _label(part, target) if rigid else None
    if fits and not scan.long:
        return target.encode() if _RANK[entity.encoding] > _RANK[target.encode()] else None
    textual = kind in (b"text", b"message") and 5 * scan.high < scan.size
    return b"quoted-printable" if textual else b"base64"
