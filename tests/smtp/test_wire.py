"""Framing: where content ends, its dots, and line ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.smtp import wire
from mether.smtp.wire import ContentDecoder, Normalizer, Stuffer

octets = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b"\0", b"\xff"])).map(
    b"".join
)
lines = st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b"\r\n.", b"\xe9", b"\0"])).map(b"".join)
sizes = st.lists(st.integers(1, 5))


def decode(
    data: bytes, cuts: list[int], *, normalize: bool = False
) -> tuple[bytes, bytes, bool, ContentDecoder]:
    """Content, what is left over, whether the end was seen, and the decoder with its flags."""
    decoder = ContentDecoder(normalize=normalize)
    out, buffer = b"", b""
    while True:
        size = cuts.pop(0) if cuts else len(data)
        buffer, data = buffer + data[:size], data[size:]
        piece, position, end = decoder.decode(buffer, 0)
        out, buffer = out + piece, buffer[position:]
        if end or not data:
            return out, buffer + data, end, decoder


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    out = []
    for size in cuts:
        out.append(data[:size])
        data = data[size:]
    return [*out, data]


@pytest.mark.parametrize(
    ("wire_octets", "content", "rest"),
    [
        (b".\r\nQUIT\r\n", b"", b"QUIT\r\n"),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"a\r\n.\r\nb", b"a\r\n", b"b"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"a\r\n..\r\n..b\r\n.c\r\n.\r\n", b"a\r\n.\r\n.b\r\nc\r\n", b""),
        (b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n"),
    ],
)
def test_the_end_and_the_dots(wire_octets: bytes, content: bytes, rest: bytes) -> None:
    """DAT-1, DAT-4: the end may be the first line; one leading dot is removed; no CRLF is added."""
    for cuts in ([], [1] * 50, [2] * 50, [3] * 50, [4] * 50):
        found, left, end, decoder = decode(wire_octets, cuts)
        assert (found, left, end) == (content, rest, True)
        assert decoder.size == len(content)
        assert not (decoder.bare or decoder.nul or decoder.eight_bit)


@given(octets, sizes, sizes)
def test_cuts_mean_nothing(data: bytes, cuts: list[int], others: list[int]) -> None:
    """DAT-2: any octets, any cuts, the same content, end and flags."""
    data += b"\r\n.\r\nafter"
    first, second = decode(data, cuts), decode(data, others)
    assert first[:3] == second[:3]
    flags = [(d.size, d.bare, d.nul, d.eight_bit) for d in (first[3], second[3])]
    assert flags[0] == flags[1]


@given(octets, sizes)
def test_the_end_is_where_the_standard_has_it(data: bytes, cuts: list[int]) -> None:
    """DAT-1: at the first CRLF . CRLF (the first CRLF may be the DATA line's own), nowhere else."""
    data += b"\r\n.\r\n"
    end = (b"\r\n" + data).find(b"\r\n.\r\n")
    raw = (b"\r\n" + data)[: end + 2]
    content, rest, ended, decoder = decode(data, cuts)
    assert ended
    assert content == raw.replace(b"\r\n.", b"\r\n")[2:]
    assert rest == data[end + 3 :]
    stripped = raw.replace(b"\r\n", b"")
    assert decoder.bare == (b"\r" in stripped or b"\n" in stripped)
    assert decoder.nul == (b"\0" in raw)
    assert decoder.eight_bit == (not raw.isascii())


@given(octets, sizes)
def test_what_is_normalized_ends_in_the_same_place(data: bytes, cuts: list[int]) -> None:
    """DAT-2: whatever the cuts, each CR and LF that stands alone is a line end, and none ends the content."""
    data += b"\r\n.\r\nafter"
    plain, rest, _, decoder = decode(data, [])
    found, left, _, other = decode(data, cuts, normalize=True)
    assert found == plain.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert (left, other.bare, other.nul) == (rest, decoder.bare, decoder.nul)
    assert other.size == len(found)


def test_no_end_before_the_end() -> None:
    """CMD-3: what may begin the end is neither content nor end until the rest has come."""
    for held in (b"\r", b"\r\n", b"\r\n.", b"\r\n.\r"):
        decoder = ContentDecoder()
        data, position, end = decoder.decode(b"abc" + held, 0)
        assert (data, position, end) == (b"abc", 3, False)
        assert decoder.decode(held, 0) == (b"", 0, False)


@given(lines, sizes, sizes)
def test_what_is_stuffed_arrives(content: bytes, cuts: list[int], others: list[int]) -> None:
    """CLI-5, DAT-4: byte for byte; a last line without CRLF gets one, and no empty line is added."""
    stuffer = Stuffer()
    sent = b"".join(map(stuffer.feed, pieces(content, cuts))) + stuffer.end()
    assert sent == (
        wire.stuff(content) + (b".\r\n" if content.endswith(b"\r\n") or not content else wire.END)
    )
    found, rest, end, decoder = decode(sent + b"QUIT", others)
    whole = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    assert (found, rest, end, decoder.bare) == (whole, b"QUIT", True, False)


def test_a_stuffer_fed_nothing() -> None:
    """PIP-3: an empty content is a lone dot."""
    stuffer = Stuffer()
    assert stuffer.feed(b"") + stuffer.end() == b".\r\n"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\n", b"a\r\n"),
        (b"a\r\nb\nc", b"a\r\nb\r\nc\r\n"),
        (b"\n\n", b"\r\n\r\n"),
    ],
)
def test_files_get_crlf(file: bytes, content: bytes) -> None:
    """CLI-5: LF and CRLF may be mixed."""
    assert wire.normalize(file) == (content, False)


@pytest.mark.parametrize("file", [b"a\rb", b"a\r\r\n", b"\r", b"a\n\r"])
def test_a_bare_cr_is_told_of(file: bytes) -> None:
    """CLI-5: it cannot be sent, and nobody guesses what it meant."""
    assert wire.normalize(file)[1]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"."])).map(b"".join), sizes)
def test_normalizing_in_pieces(data: bytes, cuts: list[int]) -> None:
    normalizer = Normalizer()
    out = b"".join(map(normalizer.feed, pieces(data, cuts))) + normalizer.end()
    if out and not out.endswith(b"\r\n"):
        out += b"\r\n"
    assert (out, normalizer.bare_cr) == wire.normalize(data)
    assert out.count(b"\n") == out.count(b"\r\n")
    if not normalizer.bare_cr:
        assert out.count(b"\r") == out.count(b"\n")
