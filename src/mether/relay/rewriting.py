"""A message's addresses as they go out by a rule that rewrites them: masquerading, a map, SRS, VERP.

It is done at the door, each time that a message is sent: the queue keeps what came, so that `smtpq` shows the
addresses that people know, and reports go to the reverse-path that the sender used.  `Rewriting.changed`
gives the envelope, recipients and content to send in place of a message's own; `routing.rewrite` and
`routing.srs` say what each address becomes, `content.rewrite` puts it in the header.

A recipient that the map changes keeps its first address in ORCPT (RFC 3461 section 4.2), so that what is
reported of it names the address that the sender wrote.  The reverse-path is rewritten by SRS only where the
map and masquerading leave it as it is, and where its domain is none of ours: our own mail leaves under its
own name.

VERP comes last: a reverse-path in one of its domains tells which message is sent to whom (`content.verp`),
and so each recipient has a transaction of its own.

Tables are asked before anything is sent.  Raises TableError when one cannot be read: the mail waits; and
OSError or StoreError when the content cannot.
"""

from __future__ import annotations

import copy

from mether.address import Address, AddressError, parse
from mether.content import header, verp
from mether.envelope import Recipient
from mether.queue.content import in_memory
from mether.routing.source import awaited
from mether.xtext import encode, encode_utf8_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import Final

    from mether.address import ReversePath
    from mether.client.session import Source
    from mether.envelope import Envelope
    from mether.queue.content import Content
    from mether.routing.rewrite import Rewrite

MAX_HEADER: Final = 256 * 1024
"""Octets at the beginning of the content in which the header is rewritten."""
MAX_ADDRESSES: Final = 1000
"""Addresses of a header that are looked up; those after them stay as they are."""


class Changed:
    """A message as it goes out: its `envelope` and `content`, and `recipient` for each of its recipients.

    With `verp` each of them has an envelope of its own: `envelope_for`.
    """

    __slots__ = ("_recipients", "content", "envelope", "verp")

    def __init__(
        self, envelope: Envelope, content: Source, recipients: dict[str, Recipient], *, verp: bool = False
    ) -> None:
        self.envelope = envelope
        self.content = content
        self._recipients = recipients
        self.verp = verp

    def envelope_for(self, ident: str, one: Recipient) -> Envelope:
        """The envelope for one recipient, as it stands in the queue, of the message with that queue id."""
        out = copy.copy(self.envelope)
        if out.reverse_path is not None:
            out.reverse_path = verp.encode(out.reverse_path, ident, one.forward_path)
        return out

    def recipient(self, one: Recipient) -> Recipient:
        """What is said to the server of a recipient."""
        return self._recipients.get(str(one.forward_path), one)


class Rewritten:
    """Content in a file whose first `length` octets are others; a Source, as `client.session` has it."""

    __slots__ = ("_length", "_source", "_start", "size")

    data: bytes | None = None

    def __init__(self, start: bytes, source: Content, length: int) -> None:
        self._start = start
        self._source = source
        self._length = length
        self.size = len(start) + source.size - length

    def chunks(self, size: int) -> Iterator[bytes]:
        """The octets in pieces of at most `size`, but for the first.  Raises OSError."""
        yield self._start
        skip = self._length
        for piece in self._source.chunks(size):
            if skip < len(piece):
                yield piece[skip:] if skip else piece
            skip = max(0, skip - len(piece))


class Rewriting:
    """What a rule does to the addresses of what it sends.

    `forward` gives the reverse-path for mail of others (`routing.srs_file`), None: they keep their own.
    `ours` tells whether an address is at a domain of ours.  Both may raise TableError, `ours` Needs too.
    `verp` has the domains (A-labels, lower case) whose reverse-paths tell the message and its recipient.
    """

    __slots__ = ("_forward", "_ours", "_rewrite", "_verp")

    def __init__(
        self,
        rewrite: Rewrite | None,
        forward: Callable[[Address], Address] | None = None,
        ours: Callable[[Address], bool] = lambda address: False,
        verp: Collection[str] = (),
    ) -> None:
        self._rewrite = rewrite
        self._forward = forward
        self._ours = ours
        self._verp = verp

    async def changed(
        self, envelope: Envelope, recipients: Iterable[Recipient], content: Content
    ) -> Changed | None:
        """The message as it goes out; None: as it is.  Raises TableError, OSError or StoreError."""
        out = envelope
        sender = await awaited(lambda: self.reverse_path(envelope.reverse_path))
        if sender is not None:
            out = copy.copy(envelope)
            out.reverse_path = sender
        others: dict[str, Recipient] = {}
        source: Source = content
        if self._rewrite is not None:
            for one in recipients:
                path = await self._become(one.forward_path, envelope_recipient=True)
                if path is not None:
                    orcpt = one.orcpt or original(one.forward_path)
                    others[str(one.forward_path)] = Recipient(path, orcpt=orcpt, notify=one.notify)
            start = await _beginning(content)
            section = start[: header.split(start)]
            if len(section) == len(start) < content.size:
                # Cut within a line: what is left of it belongs to the rest.
                section = section[: section.rfind(b"\r\n") + 2]
            new, utf8 = await self._header(section, utf8=envelope.smtputf8)
            if new is not section:
                if content.data is not None:
                    source = in_memory(new + content.data[len(section) :])
                else:
                    source = Rewritten(new, content, len(section))
                if utf8 and (not envelope.smtputf8 or envelope.body == "7BIT"):
                    out = copy.copy(out)
                    out.smtputf8 = True
                    out.body = "8BITMIME" if out.body == "7BIT" else out.body
        single = self.tells(out.reverse_path)
        if out is envelope and source is content and not others and not single:
            return None
        return Changed(out, source, others, verp=single)

    def tells(self, sender: Address | None) -> bool:
        """Whether bounces to a reverse-path, as it goes out, are to tell of what they are; the null one gets
        none."""
        if sender is None or not self._verp:
            return False
        try:
            return sender.ascii_domain in self._verp
        except AddressError:
            return False

    def reverse_path(self, sender: ReversePath) -> Address | None:
        """What the reverse-path becomes; None: it stays.  Raises TableError, or Needs."""
        if sender is None:
            return None
        found = self.address(sender)
        if found is None and self._forward is not None and not self._ours(sender):
            path = self._forward(sender)
            found = None if path is sender else path
        return found

    def address(self, address: Address, *, envelope_recipient: bool = False) -> Address | None:
        """What an address in the header becomes, or with `envelope_recipient` one of the recipients.

        None: it stays.  Raises TableError, or Needs.
        """
        if self._rewrite is None:
            return None
        return self._rewrite.change(address, envelope_recipient=envelope_recipient)

    async def _become(self, address: Address, *, envelope_recipient: bool = False) -> Address | None:
        found: Address | None = await awaited(
            lambda: self.address(address, envelope_recipient=envelope_recipient)
        )
        return found

    async def _header(self, section: bytes, *, utf8: bool) -> tuple[bytes, bool]:
        """The header section with other addresses, and whether one of them is in UTF-8."""
        from mether.content import rewrite

        names = rewrite.AUTHORS | rewrite.RECIPIENTS
        change: dict[str, str] = {}
        foreign = False
        for text in rewrite.addresses(section, names)[:MAX_ADDRESSES]:
            try:
                address = parse(text, utf8=True) if "@" in text else Address(text, "")
            except AddressError:
                continue
            found = await self._become(address)
            if found is None:
                continue
            written = found if utf8 or found.is_ascii else _ascii(found)
            foreign = foreign or not written.is_ascii
            change[text] = str(written)
        return (rewrite.replaced(section, names, change) if change else section), foreign


async def _beginning(content: Content) -> bytes:
    """Enough of the content for its header; a file is read where nobody else waits for it."""
    if content.data is not None:
        return content.read(MAX_HEADER)
    import asyncio

    return await asyncio.get_running_loop().run_in_executor(None, content.read, MAX_HEADER)


def original(path: Address) -> str:
    """ORCPT for a recipient that had none (RFC 3461 section 4.2, RFC 6533 section 3)."""
    if path.is_ascii:
        return f"rfc822;{encode(str(path))}"
    return f"utf-8;{encode_utf8_address(str(path))}"


def _ascii(address: Address) -> Address:
    """With A-labels, where that makes it ASCII."""
    try:
        return Address(address.local_part, address.ascii_domain) if address.local_part.isascii() else address
    except AddressError:
        return address
