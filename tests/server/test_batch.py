"""A batch's lines and chunks, however the octets come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wirepair import Taker, dialogue

from mether.server.batch import Batch

BINARY = b"X: y\n\nBDAT 3\n\r\0\n.\n\xffEND"
SCRIPT = (
    b"EHLO c\nMAIL FROM:<a@x.test>\nRCPT TO:<b@x.test>\nDATA\nBDAT 7\nBDA\n..\n.\n"
    b"MAIL FROM:<a@x.test> BODY=BINARYMIME\r\nRCPT TO:<b@x.test>\nbdat %d\n%bBDAT 3 LAST\r\n\n\r\n"
    b"MAIL FROM:<a@x.test>\nRCPT TO:<b@x.test>\nDATA\nlast\n.\nQUIT\n"
) % (len(BINARY), BINARY)


def fed(pieces: list[bytes]) -> tuple[list[bytes], list[int]]:
    """What was taken and what was answered."""
    taker = Taker()
    taker.keywords = [*taker.keywords, "CHUNKING", "BINARYMIME"]
    session = dialogue(taker, batch=True)
    out = session.open()
    batch = Batch(session)
    for piece in [*(piece for piece in pieces if piece), b""]:
        out += b"".join(batch.feed(piece))
    return [bytes(message.content) for message in taker.messages], [
        int(line[:3]) for line in out.splitlines() if line[3:4] == b" "
    ]


TAKEN = [b"BDAT 7\r\nBDA\r\n.\r\n", BINARY + b"\n\r\n", b"last\r\n"]


def test_line_ends_are_mended_outside_chunks_only() -> None:
    """RFC 3030 section 2: a chunk is counted in octets, and is none of a line's."""
    content, codes = fed([SCRIPT])
    assert content == TAKEN
    assert codes == [220, 250, 250, 250, 354, 250, 250, 250, 250, 250, 250, 250, 354, 250, 221]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_in_small_pieces(size: int) -> None:
    assert fed([SCRIPT[at : at + size] for at in range(0, len(SCRIPT), size)]) == fed([SCRIPT])


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=8))
def test_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(SCRIPT)]
    assert fed([SCRIPT[a:b] for a, b in pairwise(edges)])[0] == TAKEN


def test_an_end_in_the_middle_of_a_chunk_or_a_word() -> None:
    head = b"EHLO c\nMAIL FROM:<a@x.test>\nRCPT TO:<b@x.test>\n"
    assert fed([head + b"BDAT 10 LAST\nabc"])[0] == []
    assert fed([head + b"BDA"])[0] == []
    assert fed([head + b"BDAT " + b"1" * 5000])[1][-1] in (500, 501, 554)
