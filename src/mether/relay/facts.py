"""What is known of a message's content, for `smtp.fit`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.envelope import Envelope


class Facts:
    """The facts of content of `size` octets, as its envelope declares it."""

    __slots__ = ("binary", "eight_bit", "header_eight_bit", "size")

    def __init__(self, size: int, eight_bit: bool, envelope: Envelope) -> None:
        self.size = size
        self.eight_bit = eight_bit
        self.header_eight_bit = eight_bit and envelope.smtputf8
        self.binary = envelope.body == "BINARYMIME"
