"""The header section of a message as octets (RFC 5322 section 2.2).

Nothing here decodes, and nothing goes line by line on the way every message takes: `split`
and `count_received` are a few searches over the header.  `fields` and `remove` do walk the fields, for
delivery, reports and programs.

Content is taken as it comes (RFC 5321 section 3.7.2: odd header sections are no reason to refuse): no
function here fails.  A header section that never ends is all of what was given; lines that are no
header field are passed over or kept as they stand.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def split(content: bytes) -> int:
    """The octets of the header section with its last CRLF, without the empty line that ends it.

    ``content[:split(content)]`` is the header.  When there is no empty line it is all of `content`, so
    give at least the first 64 KiB of a large message.
    """
    if content.startswith(b"\r\n"):
        return 0
    end = content.find(b"\r\n\r\n")
    return len(content) if end < 0 else end + 2


def count_received(header: bytes) -> int:
    """How many Received fields the header has: over 100 is a loop (RFC 5321 section 6.3)."""
    lower = b"\n" + header.lower()
    # The second and third forms are obsolete syntax (RFC 5322 section 4.5), yet count all the same.
    return (
        lower.count(b"\nreceived:")
        + (lower.count(b"\nreceived :") if b"\nreceived " in lower else 0)
        + (lower.count(b"\nreceived\t:") if b"\nreceived\t" in lower else 0)
    )


def fields(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The fields in order: name as written, and raw value (what follows the colon, folding included,
    without the last CRLF).  Lines that belong to no field are passed over."""
    for start, end in spans(header):
        name, colon, value = header[start:end].partition(b":")
        name = name.rstrip(b" \t")
        if colon and _is_name(name):
            yield name, value.removesuffix(b"\r\n")


def remove(header: bytes, name: bytes) -> bytes:
    """The header without the fields of that name (any case); every other octet stays as it is.

    Binary content (RFC 3030) may hold an LF alone, and with it all of a message that has Unix lines: what
    stands behind such a line end is no part of the field.
    """
    name = name.lower()
    if name not in header.lower():
        return header
    kept = []
    for start, end in spans(header):
        field = header[start:end]
        found, colon, _ = field.partition(b":")
        if not (colon and found.rstrip(b" \t").lower() == name):
            kept.append(field)
        elif field.count(b"\n") != field.count(b"\r\n"):
            kept.append(_behind(field, name))
    return b"".join(kept)


def _behind(text: bytes, name: bytes) -> bytes:
    """What stands behind the field of that name which `text` begins with, and behind others of that name."""
    at = 0
    while True:
        at = text.find(b"\n", at) + 1
        while at and text[at : at + 1] in (b" ", b"\t"):
            at = text.find(b"\n", at) + 1
        if not at:
            return b""
        colon = at + len(name)
        if text[at:colon].lower() != name or not text[colon : colon + 100].lstrip(b" \t").startswith(b":"):
            return text[at:]


def spans(header: bytes) -> Iterator[tuple[int, int]]:
    """Where each field begins and ends, its continuation lines and CRLF included."""
    start, size = 0, len(header)
    while start < size:
        at = start
        while True:
            end = header.find(b"\r\n", at)
            if end < 0:
                end = size
                break
            end += 2
            if header[end : end + 1] not in (b" ", b"\t"):
                break
            at = end
        yield start, end
        start = end


def _is_name(name: bytes) -> bool:
    """Whether these octets can be a field name: printable ASCII but for space and colon."""
    return bool(name) and all(33 <= octet <= 126 for octet in name)
