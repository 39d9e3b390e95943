"""Content in chunks: line ends cut anywhere, and what is noted of them; and content out of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.smtp import wire
from mether.smtp.wire import ChunkDecoder, ContentDecoder

octets = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0", b"\xff"])).map(b"".join)


def decode(
    data: bytes, cuts: list[int], *, binary: bool = False, normalize: bool = False
) -> tuple[object, ...]:
    decoder = ChunkDecoder(binary=binary, normalize=normalize)
    out = b""
    for cut in cuts:
        out += decoder.decode(data[:cut], False)
        data = data[cut:]
    out += decoder.decode(data, True)
    assert decoder.size == len(out)
    return out, decoder.bare, decoder.nul, decoder.eight_bit


def is_bare(data: bytes) -> bool:
    rest = data.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest


@given(octets, st.lists(st.integers(0, 4)))
def test_text(data: bytes, cuts: list[int]) -> None:
    """BDT-1, DAT-3, DAT-12: nothing is changed; the flags are the same whatever the cuts."""
    assert decode(data, cuts) == (data, is_bare(data), b"\0" in data, b"\xff" in data)


@given(octets, st.lists(st.integers(0, 4)), st.booleans())
def test_binary(data: bytes, cuts: list[int], normalize: bool) -> None:
    """8BM-4: no octet of a binary message is a line end."""
    found = decode(data, cuts, binary=True, normalize=normalize)
    assert found == (data, False, False, b"\xff" in data)


@given(octets, st.lists(st.integers(0, 4)))
def test_normalized(data: bytes, cuts: list[int]) -> None:
    """DAT-3: each CR or LF that stands alone is a line end, and no line end becomes two."""
    expected = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    out, bare, _, _ = decode(data, cuts, normalize=True)
    assert out == expected and not is_bare(expected)
    assert bare == is_bare(data)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_cr_waits_for_what_follows(normalize: bool) -> None:
    """DAT-3: across empty chunks too; at the very end it stands alone."""
    decoder = ChunkDecoder(binary=False, normalize=normalize)
    assert decoder.decode(b"a\r", False) == b"a"
    assert decoder.decode(b"", False) == b"" and not decoder.bare
    assert decoder.decode(b"\n\r", False) == b"\r\n" and not decoder.bare
    assert decoder.decode(b"", True) == (b"\r\n" if normalize else b"\r")
    assert decoder.bare


@given(octets, st.lists(st.integers(1, 5)))
def test_dot_ended_content_normalized(data: bytes, cuts: list[int]) -> None:
    """DAT-3: the end is found in the octets as they came, and no end is made by normalizing."""
    stream = wire.stuff(data) + (b".\r\n" if data.endswith(b"\r\n") or not data else wire.END)
    reference = ContentDecoder()
    plain, position, ended = reference.decode(stream, 0)
    if not ended:
        return
    decoder = ContentDecoder(normalize=True)
    out, buffer, rest = b"", b"", stream
    end = False
    while rest and not end:
        size = cuts.pop(0) if cuts else len(rest)
        buffer, rest = buffer + rest[:size], rest[size:]
        piece, start, end = decoder.decode(buffer, 0)
        out, buffer = out + piece, buffer[start:]
    assert end and len(buffer) + len(rest) == len(stream) - position
    assert out == plain.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert decoder.size == len(out)
    # What goes on to the next hop holds one end, its own.
    sent = wire.stuff(out) + (b".\r\n" if out.endswith(b"\r\n") or not out else wire.END)
    assert not out or (b"\r\n" + sent).find(wire.END) == len(sent) + 2 - len(wire.END)


@pytest.mark.parametrize(
    ("data", "out", "bare"),
    [
        (b"", b"", False),
        (b"a", b"a\r\n", False),
        (b"a\nb\r\nc", b"a\r\nb\r\nc\r\n", False),
        (b"a\r", b"a\r\r\n", True),
        (b"a\rb\n", b"a\rb\r\n", True),
        (b"\n", b"\r\n", False),
    ],
)
def test_a_message_from_a_file(data: bytes, out: bytes, bare: bool) -> None:
    """CLI-5: LF becomes CRLF, a last line is ended, and a CR alone is told of."""
    assert wire.normalize(data) == (out, bare)
