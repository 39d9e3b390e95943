"""One message on its way out: what a server can be told of it, and its content as that server takes it.

`Outgoing.fit` gives the `Fit` for one server and the content to send there, re-encoded where the server lacks
8BITMIME or BINARYMIME and the policy allows that (RFC 6152 section 3, RFC 3030 section 3).  Content in memory
is looked at; of content in a file what the client declared is believed, unless the server would have to
refuse it: only then is the file read.  A conversion is kept for the next server.  What cannot be converted is
refused with 554 5.6.3 by the Fit.  Raises what reading the content raises: OSError, StoreError.

`relay.smtp` and the one-shot `smtp` both send through this, so that no rule is written twice.
"""

from __future__ import annotations

from mether.queue.content import in_memory
from mether.reply import Reply
from mether.smtp import fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Final

    from mether.client.session import Source
    from mether.content.convert import Plan
    from mether.envelope import Envelope, Recipient
    from mether.smtp.extension import Offer
    from mether.smtp.fit import Fit, Policy

_PIECE: Final = 64 * 1024


class Facts:
    """The facts of content, its trace field included: see `smtp.fit.Facts`."""

    __slots__ = ("binary", "eight_bit", "header_eight_bit", "size")

    def __init__(self, size: int, eight_bit: bool, header_eight_bit: bool, binary: bool) -> None:
        self.size = size
        self.eight_bit = eight_bit
        self.header_eight_bit = header_eight_bit
        self.binary = binary


class Converted:
    """Content that is re-encoded whenever it is read; a Source, as `client.session` has it."""

    __slots__ = ("_plan", "_source", "_trace", "size")

    data: bytes | None = None

    def __init__(self, trace: bytes, source: Source, plan: Plan) -> None:
        self._trace = trace
        self._source = source
        self._plan = plan
        self.size = sum(map(len, self.chunks(_PIECE)))

    def chunks(self, size: int) -> Iterator[bytes]:
        """The octets in pieces of about `size`.  Raises OSError."""
        from mether.content import convert

        gathered: list[bytes] = []
        count = 0
        for piece in convert.rewrite(_octets(self._trace, self._source), self._plan):
            gathered.append(piece)
            count += len(piece)
            if count >= size:
                yield b"".join(gathered)
                gathered.clear()
                count = 0
        if gathered:
            yield b"".join(gathered)


class Outgoing:
    """The message of `envelope` with its trace field and content.

    `eight_bit` is whether an octet of the content is above 127, where the caller knows that of a file.
    """

    __slots__ = ("_content", "_converted", "_eight_bit", "_envelope", "_facts", "_sure", "_trace")

    def __init__(
        self, envelope: Envelope, trace: bytes, content: Source, *, eight_bit: bool | None = None
    ) -> None:
        self._envelope = envelope
        self._trace = trace
        self._content = content
        self._eight_bit = eight_bit
        self._facts: Facts | None = None
        self._sure = False
        self._converted: dict[str, tuple[Source, Facts] | Reply] = {}

    def under(self, envelope: Envelope) -> None:
        """Go out with this envelope from now on, which differs from the first in its reverse-path alone."""
        self._envelope = envelope

    def reads(self, offer: Offer) -> bool:
        """Whether `fit` will read a file for a server with this offer, which may take its time."""
        return self._content.data is None and not self._sure and not fit.believes(self._envelope, offer)

    def fit(
        self,
        recipients: Sequence[Recipient],
        offer: Offer,
        policy: Policy = fit.DEFAULT,
        waited: float = 0.0,
        authenticated: bool = False,
        secured: bool = False,
        lmtp: bool = False,
    ) -> tuple[Fit, bytes, Source]:
        """What to say to the server, and the trace field and the content to send to it then.

        See `smtp.fit.fit` for what is given.
        """
        terms = offer, policy, waited, authenticated, secured, lmtp
        made = fit.fit(self._envelope, recipients, self._know(offer), *terms)
        if made.convert is None or made.refusal is not None:
            return made, self._trace, self._content
        converted = self._converted.get(made.convert)
        if converted is None:
            converted = self._converted[made.convert] = self._convert(made.convert)
        if isinstance(converted, Reply):
            return made.refuse(converted, "8BITMIME"), self._trace, self._content
        source, facts = converted
        return fit.fit(self._envelope, recipients, facts, *terms), b"", source

    def _know(self, offer: Offer) -> Facts:
        """The facts, as well as they must be known for this server."""
        if self._facts is not None and (self._sure or fit.believes(self._envelope, offer)):
            return self._facts
        envelope, data = self._envelope, self._content.data
        self._sure = True
        if data is not None:
            eight_bit = not (data.isascii() and self._trace.isascii())
            header = eight_bit and envelope.smtputf8 and self._scan()[1]
        elif self._eight_bit is False and self._trace.isascii():
            eight_bit = header = False
        elif fit.believes(envelope, offer):
            eight_bit = envelope.body != "7BIT" if self._eight_bit is None else self._eight_bit
            header = eight_bit and envelope.smtputf8
            self._sure = False
        else:
            eight_bit, header = self._scan()
        size = len(self._trace) + self._content.size
        self._facts = Facts(size, eight_bit, header, envelope.body == "BINARYMIME")
        return self._facts

    def _scan(self) -> tuple[bool, bool]:
        """Whether there are eight bits, and whether in a header."""
        from mether.content import mime_walk

        return mime_walk.eight_bits(_octets(self._trace, self._content))

    def _convert(self, target: str) -> tuple[Source, Facts] | Reply:
        from mether.content import convert

        try:
            plan = convert.plan(_octets(self._trace, self._content), target)
        except convert.Unconvertible as error:
            return Reply(554, "5.6.3", f"{fit.NOT_CONVERTIBLE.text}: {error}")
        source: Source
        if self._content.data is not None:
            source = in_memory(b"".join(convert.rewrite(_octets(self._trace, self._content), plan)))
        else:
            source = Converted(self._trace, self._content, plan)
        facts = self._facts
        eight_bit = target == "8bit" and facts is not None and facts.eight_bit
        header = eight_bit and facts is not None and facts.header_eight_bit
        return source, Facts(source.size, eight_bit, header, binary=False)


def _octets(trace: bytes, source: Source) -> Iterable[bytes]:
    if trace:
        yield trace
    yield from source.chunks(_PIECE)
