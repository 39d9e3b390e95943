"""The message on standard input: its line ends, its limits, and where a large one lies."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.programs import message
from mether.programs.errors import Failure
from mether.queue.content import SMALL


class Spilled:
    """A writer that remembers."""

    def __init__(self):
        self.data = b""
        self.size = 0
        self.discarded = False

    def write(self, data):
        self.data += data
        self.size += len(data)

    def sync(self):
        pass

    def discard(self):
        self.discarded = True


def read(*pieces, spill=Spilled):
    left = iter(pieces)
    return message.read(lambda: next(left, b""), spill)


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b".", b"\xff"])), st.data())
def test_lines_end_in_crlf_wherever_the_input_is_cut(parts, data):
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    want = text.replace(b"\r\n", b"\n")
    if want and not want.endswith(b"\n"):
        want += b"\n"
    assert read(*[piece for piece in pieces if piece]) == want.replace(b"\n", b"\r\n")


def test_small_stays_in_memory_and_large_is_spilled():
    line = b"x" * 62 + b"\r\n"
    assert read(line * (SMALL // 64)) == line * (SMALL // 64)
    spilled = read(line * (SMALL // 64), b"y")
    assert isinstance(spilled, Spilled)
    assert spilled.data == line * (SMALL // 64) + b"y\r\n"
    assert not spilled.discarded


def test_never_more_than_a_small_message_and_a_chunk_is_held():
    chunks = [b"z" * 99 + b"\n"] * 5000
    sizes = []

    class Counting(Spilled):
        def write(self, data):
            sizes.append(len(data))
            super().write(data)

    assert read(*chunks, spill=Counting).size == 5000 * 101
    assert max(sizes) <= SMALL + 101


@pytest.mark.parametrize("bad", [b"\0", b"a\0\n", b"\ra", b"a\r", b"\r\r\n"])
@pytest.mark.parametrize("before", [b"", b"x" * (SMALL + 1) + b"\n"])
def test_what_cannot_be_sent_is_refused_and_forgotten(bad, before):
    made = []

    def spill():
        made.append(Spilled())
        return made[-1]

    with pytest.raises(Failure) as failure:
        read(*[piece for piece in (before, bad) if piece], spill=spill)
    assert failure.value.status == 65
    assert [each.discarded for each in made] == [True] * bool(before)


def test_a_writer_that_fails_is_discarded():
    class Full(Spilled):
        def write(self, data):
            raise OSError(28, "No space left on device")

    made = Full()
    with pytest.raises(OSError, match="No space"):
        read(b"x" * (SMALL + 1), spill=lambda: made)
    assert made.discarded


def test_an_input_that_fails_is_no_message():
    def pull():
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        message.read(pull, Spilled)


def test_the_scratch_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = message.Scratch()
    try:
        scratch.write(b"one\r\n")
        assert not scratch.eight_bit
        scratch.write("zwö\r\n".encode())
        assert scratch.eight_bit
        assert list(tmp_path.iterdir()) == []
        content, eight_bit = message.content(scratch)
        assert eight_bit and content.size == scratch.size
        for _ in range(2):  # it may be read again
            assert content.read() == "one\r\nzwö\r\n".encode()
            assert b"".join(content.chunks(3)) == "one\r\nzwö\r\n".encode()
        assert content.read(3) == b"one"
    finally:
        scratch.discard()


def test_octets_come_from_a_descriptor():
    source, target = os.pipe()
    os.write(target, b"abc")
    os.close(target)
    pull = message.octets(source)
    assert (pull(), pull()) == (b"abc", b"")
    os.close(source)
