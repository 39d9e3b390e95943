"""Content, in memory and in a file."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.queue.content import Content, in_memory


def both(data: bytes) -> list[Content]:
    return [in_memory(data), Content(None, len(data), lambda: BytesIO(data))]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_pieces_make_up_the_whole(data: bytes, size: int) -> None:
    for content in both(data):
        pieces = list(content.chunks(size))
        assert b"".join(pieces) == data == content.read()
        assert all(0 < len(piece) <= size for piece in pieces)
        assert content.size == len(data)


@given(st.binary(max_size=20), st.integers(0, 30))
def test_a_limited_read(data: bytes, limit: int) -> None:
    for content in both(data):
        assert content.read(limit) == data[:limit]


def test_it_can_be_read_again() -> None:
    for content in both(b"twice"):
        assert content.read() == content.read() == b"twice"


def test_a_file_that_cannot_be_opened() -> None:
    def missing() -> BytesIO:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(OSError, match="No such file"):
        Content(None, 5, missing).read()
