"""The parts of a message as text, for whoever reads bounces (RFC 2045, RFC 2047).

Reports come from programs that follow no standard, so everything is taken as it comes: line ends of any
kind, a boundary that does not fit, an encoding that breaks off, a charset nobody knows.  `parts` gives the
leaves in order; a message within the message is one leaf and is not opened, because what it says is not said
by whoever sent the report.  Nothing here fails, and all of it is bounded.
"""

from __future__ import annotations

import binascii
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

MAX_PARTS: Final = 50
"""Parts of a message that are looked at."""

MAX_DEPTH: Final = 8
"""Multiparts within multiparts that are opened."""

MAX_HEADER: Final = 256 * 1024
"""Octets of a header section that are looked at."""

_NAME: Final = re.compile(rb"([!-9;-~]{1,100})[ \t]*:")
_ENCODED: Final = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?\s]{0,2000})\?=")
_BETWEEN: Final = re.compile(r"(\?=)\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?)")
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]{1,60})\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s;"]*))')
_ISO_2022: Final = re.compile(rb"\x1b[$(][@BIJ]")
_HTML_CUT: Final = re.compile(r"<(/?)(script|style|head)\b", re.IGNORECASE)
_HTML_LINE: Final = re.compile(
    r"<\s*(?:br|/?p|/?div|/?tr|/?li|/?h[1-6]|/?table)\b[^<>]{0,2000}>", re.IGNORECASE
)
_HTML_TAG: Final = re.compile(r"</?[a-zA-Z!][^<>@]{0,2000}>")


class Fields:
    """The fields of one header section: `get` the first of a name (lower case), unfolded and decoded."""

    __slots__ = ("_all", "raw")

    def __init__(self, section: bytes) -> None:
        self.raw = section[:MAX_HEADER]
        self._all: dict[str, list[str]] = {}
        for name, value in fields(self.raw):
            kept = self._all.setdefault(name, [])
            if len(kept) < 20:
                kept.append(value)

    def get(self, name: str) -> str:
        """Its value, or "" without that field."""
        found = self._all.get(name)
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name, the first twenty."""
        return self._all.get(name, [])

    def __contains__(self, name: str) -> bool:
        return name in self._all


class Part:
    """A leaf: its `kind` ("text/plain"), the parameters of its Content-Type, its `fields` and `data`, which
    is decoded from its transfer encoding; `text` is that as text, without tags where it is HTML."""

    __slots__ = ("_text", "data", "fields", "kind", "parameters", "within")

    def __init__(
        self, kind: str, parameters: dict[str, str], fields: Fields, data: bytes, within: str = ""
    ) -> None:
        self.kind = kind
        self.parameters = parameters
        self.fields = fields
        self.data = data
        self.within = within
        self._text: str | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            text = decoded(self.data, self.parameters.get("charset", ""))
            self._text = untagged(text) if self.kind == "text/html" else text
        return self._text

    @property
    def is_whole_message(self) -> bool:
        """Whether it is a message, and not its header alone."""
        return self.kind in ("message/rfc822", "message/global")

    @property
    def is_message(self) -> bool:
        """Whether it is the message that came back, or its header."""
        return self.kind in (
            "message/rfc822",
            "message/global",
            "message/partial",
            "text/rfc822-headers",
            "text/rfc822-header",
            "message/rfc822-headers",
            "message/global-headers",
        )


def unix(message: bytes) -> bytes:
    """The message with LF at the end of each line, whatever it had: CRLF, LF, or CR alone."""
    return message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def split(message: bytes) -> tuple[bytes, bytes]:
    """The header section and the body of a message with LF at the ends of lines."""
    if message.startswith(b"From "):  # of a mailbox file
        message = message[message.find(b"\n") + 1 :] if b"\n" in message else b""
    if message.startswith(b"\n"):
        return b"", message[1:]
    header, _, body = message.partition(b"\n\n")
    return header, body


def date(value: str) -> str:
    """A date of a mail (RFC 5322 section 3.3) or of a program (ISO 8601) as ISO 8601 in UTC, in whole
    seconds; "" where it is none.  One without a time zone is in UTC."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    value = value.strip()[:100]
    try:
        found = datetime.fromisoformat(value) if value[:4].isdecimal() else parsedate_to_datetime(value)
        zoned = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, TypeError, OverflowError, IndexError):
        return ""


def fields(section: bytes) -> Iterator[tuple[str, str]]:
    """Names in lower case and values in one line, RFC 2047 decoded; other lines are passed over."""
    name, lines = "", list[bytes]()
    for line in section.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if name and len(lines) < 1000:
                lines.append(line.strip())
            continue
        match = _NAME.match(line)
        if match is None and name == "content-type" and b"=" in line and len(lines) < 1000:
            lines.append(line.strip())  # a parameter whose white space was lost on the way
            continue
        if name:
            yield name, _value(lines)
        name = match[1].decode("ascii").lower() if match else ""
        lines = [line[match.end() :].strip()] if match else []
    if name:
        yield name, _value(lines)


def _value(lines: list[bytes]) -> str:
    text = words(decoded(b" ".join(lines)).strip())
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def words(text: str) -> str:
    """A field's value with the encoded words of RFC 2047 in clear."""
    if "=?" not in text:
        return text
    return _ENCODED.sub(_word, _BETWEEN.sub(r"\1", text))


def _word(match: re.Match[str]) -> str:
    charset, how, text = match[1], match[2].lower(), match[3]
    data = text.encode("utf-8", "replace")
    data = base64(data) if how == "b" else binascii.a2b_qp(data, header=True)
    return decoded(data, charset)


def decoded(data: bytes, charset: str = "") -> str:
    """Octets as text: in the charset that is named if it is one, else UTF-8, else Latin-1."""
    if _ISO_2022.search(data):
        # Half of the mailers of Japan name another charset than this one, or none.
        try:
            return data.decode("iso2022_jp")
        except UnicodeDecodeError:
            return data.decode("iso2022_jp_ext", "replace")
    name = charset.strip().strip("'\"").lower()
    # What claims to be 7-bit and is not has been converted on its way, and that was to UTF-8.
    if name and not name.startswith(("us-ascii", "ascii", "utf-8", "unknown", "iso-2022")):
        try:
            return data.decode(name, "replace")
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError):
            pass  # no charset, or a codec that is not one of text
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace") if name == "utf-8" else data.decode("latin-1")


def base64(data: bytes) -> bytes:
    """What base64 holds, as far as it goes."""
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def untagged(html: str) -> str:
    """The words of HTML, a line a paragraph."""
    from html import unescape

    kept, at, inside = [], 0, ""
    for match in _HTML_CUT.finditer(html):
        name = match[2].lower()
        if not inside and not match[1]:
            kept.append(html[at : match.start()])
            inside = name
        elif inside == name and match[1]:
            at = html.find(">", match.end()) + 1 or len(html)
            inside = ""
    if not inside:
        kept.append(html[at:])
    text = " ".join(line.strip() for line in "".join(kept).split("\n"))
    text = unescape(_HTML_TAG.sub("", _HTML_LINE.sub("\n", text))).replace("\xa0", " ")
    return "\n".join(line.strip() for line in text.split("\n"))


def content_type(value: str) -> tuple[str, dict[str, str]]:
    """The type in lower case, text/plain by default, and its parameters."""
    kind = value[:200].partition(";")[0].strip().lower()
    kind = re.sub(r"\(.*?\)|\s", "", kind)
    out: dict[str, str] = {}
    for match in _PARAMETER.finditer(";" + value.partition(";")[2]):
        text = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        out.setdefault(match[1].lower(), text)
        if len(out) > 20:
            break
    return (kind if "/" in kind else "text/plain"), out


def parts(header: Fields, body: bytes, most: int = MAX_PARTS) -> list[Part]:
    """The leaves of a message (LF at the ends of lines) in order, the first `most`.

    A text before the first boundary is not a part, unless the boundary is nowhere: then the whole body is
    text.
    """
    out: list[Part] = []
    _gather(header, body, "", 0, most, out)
    return out


def _gather(header: Fields, body: bytes, within: str, depth: int, most: int, out: list[Part]) -> None:
    kind, parameters = content_type(header.get("content-type"))
    boundary = parameters.get("boundary", "")
    if kind.startswith("multipart/") and depth < MAX_DEPTH:
        pieces = _pieces(body, boundary, most)
        if pieces:
            for piece in pieces:
                if len(out) >= most:
                    return
                section, inner = split(piece)
                if section and not _NAME.match(section):
                    section, inner = b"", piece  # a part without a header, and without its empty line
                below = Fields(section)
                if kind == "multipart/digest" and "content-type" not in below:
                    out.append(Part("message/rfc822", {}, below, inner, kind))
                else:
                    _gather(below, inner, kind, depth + 1, most, out)
            return
        kind = "text/plain"
    encoding = header.get("content-transfer-encoding").lower()
    if encoding == "base64":
        body = unix(base64(body))
    elif encoding == "quoted-printable":
        body = unix(binascii.a2b_qp(body))
    out.append(Part(kind, parameters, header, body, within))


def _pieces(body: bytes, boundary: str, most: int) -> list[bytes]:
    """What stands between the boundaries; [] where there is none."""
    mark = boundary.strip().encode("utf-8", "surrogateescape")
    if not mark or len(mark) > 1000:
        return []
    found = re.split(rb"(?:\A|\n)--" + re.escape(mark) + rb"(--)?[ \t]*(?=\n|\Z)", body, maxsplit=4 * most)
    out = []
    for at in range(2, len(found), 2):
        if found[at - 1]:
            break  # behind the closing boundary there is nothing
        out.append(found[at].removeprefix(b"\n"))
    return out
