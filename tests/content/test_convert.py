"""Content for a server that takes seven bits, or no binary (8BM-2, 8BM-5), held against the email package."""

from __future__ import annotations

import binascii
import email
import email.message
import email.policy
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mether.content import convert, mime_walk
from mether.content.convert import Unconvertible

MAIL = pathlib.Path(__file__).parents[3] / "shared" / "testdata" / "mail"
LATIN = "Grüße\r\nzweite Zeile\r\n".encode("latin-1")


def _converted(message: bytes, target: str = "7bit", *, cut: int = 1000) -> bytes:
    chunks = [message[at : at + cut] for at in range(0, len(message), cut)]
    return b"".join(convert.rewrite(chunks, convert.plan(chunks, target)))


def _leaves(message: bytes) -> list[tuple[str, bytes]]:
    """The type and the decoded octets of every part that holds no others, as the email package sees them."""
    return [
        (part.get_content_type(), part.get_payload(decode=True) or b"")
        for part in email.message_from_bytes(message, policy=email.policy.compat32).walk()
        if not part.is_multipart()
    ]


def _is_seven_bit(message: bytes) -> bool:
    return (
        message.isascii()
        and b"\0" not in message
        and message.count(b"\r") == message.count(b"\n") == message.count(b"\r\n")
    )


def test_text() -> None:
    """8BM-2: text in quoted-printable, its label in the place of the one it had."""
    assert _converted(
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit (so)\r\n"
        b"Content-Type: text/plain; charset=latin1\r\n"
        b"Subject: x\r\n\r\n" + LATIN
    ) == (
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        b"Content-Type: text/plain; charset=latin1\r\nSubject: x\r\n\r\nGr=FC=DFe\r\nzweite Zeile\r\n"
    )


def test_text_without_mime() -> None:
    """8BM-2: what says nothing of itself is text of an unknown character set (RFC 1428 section 3)."""
    assert _converted(b"Subject: x\r\n\r\n" + LATIN) == (
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\nzweite Zeile\r\n"
    )
    made = email.message_from_bytes(_converted(b"\r\n" + LATIN))
    assert made.get_payload(decode=True) == LATIN and made["MIME-Version"] == "1.0"


def test_text_far_from_ascii_goes_in_base64() -> None:
    """8BM-5: text of another script, its lines still ending in CRLF."""
    body = ("Привет, мир\r\n" * 40).encode()
    out = _converted(b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body)
    assert b"Content-Transfer-Encoding: base64\r\n" in out and out.endswith(b"\r\n")
    assert _leaves(out) == [("text/plain", body)]


NESTED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    b"--o\r\nContent-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n"
    b"--o\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Subject: inner\r\n\r\n" + LATIN + b"\r\n"
    b"--o\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\x89PNG\xff\r\n--o--\r\n"
)


def test_nested() -> None:
    """8BM-2: multiparts and messages are gone into, never encoded; a label too high is lowered."""
    out = _converted(NESTED)
    assert out == (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n\r\n"
        b"--o\r\nContent-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: 7bit\r\n\r\nplain\r\n"
        b"--o\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        b"Subject: inner\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\nzweite Zeile\r\n\r\n"
        b"--o\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBOR/8=\r\n--o--\r\n"
    )
    assert [octets for _, octets in _leaves(out)] == [octets for _, octets in _leaves(NESTED)]


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("header", "Subject: Grüße\r\n\r\nx\r\n".encode()),
        ("header", NESTED.replace(b"Subject: inner", b"Subject: \xe9")),
        (
            "signed",
            b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n"
            + LATIN
            + b"--s\r\n\r\nsig\r\n--s--\r\n",
        ),
        ("signed", b"Content-Type: application/pkcs7-mime\r\n\r\n\xff\r\n"),
        ("encoded", b"Content-Transfer-Encoding: quoted-printable\r\n\r\n\xff\r\n"),
        ("encoded", b"Content-Transfer-Encoding: base64\r\n\r\n\xff\r\n"),
        ("encoded", b"Content-Transfer-Encoding: x-what\r\n\r\n\xff\r\n"),
        ("encoded", b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff\r\n"),
        ("malformed", b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\r\n"),
        ("malformed", b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n\xff\r\n"),
        ("malformed", b"this is no field\r\n\r\n\xff\r\n"),
        ("type", b"Content-Type: multipart/mixed\r\n\r\n\xff\r\n"),
        ("type", b"Content-Type: message/partial\r\n\r\n\xff\r\n"),
        ("type", b"Content-Type: message/delivery-status\r\n\r\n\xff\r\n"),
        ("outside", NESTED.replace(b"--o--\r\n", b"--o--\r\n\xe9\r\n")),
        ("outside", b"Content-Type: multipart/mixed; boundary=never\r\n\r\n" + LATIN),
        ("deep", b"Content-Type: message/rfc822\r\n\r\n" * 100),
    ],
)
def test_what_is_left_alone(why: str, message: bytes) -> None:
    """8BM-2: never nested encodings, no broken signature, no loss: rather returned with 5.6.3."""
    with pytest.raises(Unconvertible, match=why):
        _converted(message)


def test_signed_in_seven_bits_is_kept() -> None:
    """8BM-2: a signed part that fits stands, octet for octet, while others are converted."""
    signed = (
        b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\nx\r\n"
        b"--s\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--s--\r\n"
    )
    message = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
        + signed
        + b"--o\r\n\r\n"
        + LATIN
        + b"--o--\r\n"
    )
    out = _converted(message)
    assert signed in out and out.isascii()


def test_internationalized_report() -> None:
    """EAI-9: message/global and its kin may be encoded (RFC 6533 section 4)."""
    body = "To: ü@example.org\r\n\r\nx\r\n".encode()
    out = _converted(b"MIME-Version: 1.0\r\nContent-Type: message/global\r\n\r\n" + body)
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in out
    assert out.endswith(b"\r\n\r\nTo: =C3=BC@example.org\r\n\r\nx\r\n")


def test_binary_to_eight_bit() -> None:
    """8BM-5: binary to 8-bit changes what 8-bit cannot hold, and lowers the labels."""
    message = NESTED.replace(b"8bit", b"binary").replace(b"\x89PNG\xff", b"\x89PNG\r\n\x1a\n\0" + b"x" * 2000)
    out = _converted(message, "8bit")
    assert LATIN in out and b"binary" not in out and b"Content-Transfer-Encoding: base64" in out
    assert _leaves(out)[-1][1] == b"\x89PNG\r\n\x1a\n\0" + b"x" * 2000
    text = b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\na\rb\nc\xe9"
    assert _converted(text, "8bit").endswith(b"quoted-printable\r\n\r\na=0Db=0Ac=E9=\r\n")


def test_nothing_to_do() -> None:
    """8BM-2: what fits is not touched."""
    message = b"Subject: x\r\n\r\nplain\r\n"
    assert not convert.plan([message], "7bit").changes
    assert _converted(message) == message


@given(
    st.recursive(
        st.tuples(
            st.sampled_from(
                ["text/plain", "text/html; charset=utf-8", "image/png", "application/x-thing", ""]
            ),
            st.sampled_from(["", "8bit", "binary"]),
            st.lists(st.one_of(st.text(max_size=40).map(str.encode), st.binary(max_size=90)), max_size=5),
        ),
        lambda inner: st.one_of(st.lists(inner, min_size=1, max_size=3), st.tuples(st.just("rfc822"), inner)),
        max_leaves=6,
    ),
    st.sampled_from(["7bit", "8bit"]),
    st.integers(1, 200),
)
@settings(max_examples=250, deadline=None)
def test_every_octet_comes_back(tree: object, target: str, cut: int) -> None:
    """8BM-2, 8BM-5: the email package reads the same parts before and after."""
    leaves: list[bytes] = []
    message = b"MIME-Version: 1.0\r\n" + _write(tree, leaves, 0)
    out = _converted(message, target, cut=cut)
    assert out.isascii() or target == "8bit"
    assert out.count(b"\r") == out.count(b"\n") == out.count(b"\r\n") and b"\0" not in out
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert [octets.removesuffix(b"\r\n") for _, octets in _leaves(out)] == [
        octets.removesuffix(b"\r\n") for octets in leaves
    ]
    # A second conversion finds nothing to do.
    assert not convert.plan([out], target).changes


def _write(tree: object, leaves: list[bytes], depth: int) -> bytes:
    if isinstance(tree, list):
        boundary = f"=_{depth}_{len(leaves)}".encode()
        head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
        parts = [b"--" + boundary + b"\r\n" + _write(one, leaves, depth + 1) + b"\r\n" for one in tree]
        return head + b"".join(parts) + b"--" + boundary + b"--\r\n"
    assert isinstance(tree, tuple)
    if tree[0] == "rfc822":
        return b"Content-Type: message/rfc822\r\n\r\nMIME-Version: 1.0\r\n" + _write(
            tree[1], leaves, depth + 1
        )
    kind, encoding, lines = tree
    # What holds a CR or LF alone is read otherwise by the email package: the encoders are tested on it.
    body = b"\r\n".join(line.replace(b"\r", b"").replace(b"\n", b"") for line in lines)
    leaves.append(body)
    head = b"Content-Type: " + kind.encode() + b"\r\n" if kind else b""
    head += b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n" if encoding else b""
    return head + b"\r\n" + body


@pytest.mark.skipif(not MAIL.is_dir(), reason="needs the collection of mail")
def test_collected_mail() -> None:
    """8BM-2: every message of the collection is converted, all its parts coming back, or is told of."""
    converted = refused = 0
    for path in sorted(MAIL.rglob("*")):
        if not path.is_file():
            continue
        message = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        if message.isascii() and b"\0" not in message:
            out = _converted(message)
            assert _is_seven_bit(out)
            assert _leaves(out) == _leaves(message), path
            # The same with eight bits put into every part where they may stand.
            message = _with_eight_bits(message)
        try:
            out = _converted(message, cut=777)
        except Unconvertible:
            refused += 1
            continue
        converted += 1
        assert _is_seven_bit(out), path
        assert [octets for _, octets in _leaves(out)] == [octets for _, octets in _leaves(message)], path
    assert converted > refused


def _with_eight_bits(message: bytes) -> bytes:
    """The message with an octet above 127 in what stands in its bodies without an encoding."""
    out, start = [], message.find(b"\r\n\r\n") + 4
    fields = message[:start].lower()
    if b"multipart" in fields or b"quoted-printable" in fields or b"base64" in fields:
        return message
    out.append(message[:start])
    out.append(message[start:].replace(b"e", b"\xe9"))
    return b"".join(out)


ROUGH = st.lists(
    st.sampled_from(
        [
            b"\r\n", b"\r\n\r\n", b"--a\r\n", b"--a--\r\n", b"--b\r\n", b"--b--", b"x", b"\xe9", b"\xe9" * 9,
            b"--", b"=", b" ", b"\r", b"\n", b"\0", b"z" * 1100,
            b"Content-Type: multipart/mixed; boundary=a\r\n",
            b"Content-Type: multipart/digest; boundary=b\r\n", b"Content-Type: message/rfc822\r\n",
            b"Content-Type: image/x\r\n", b"Content-Transfer-Encoding: 8bit\r\n", b"MIME-Version: 1.0\r\n",
            b"Content-Transfer-Encoding: binary\r\n",
        ]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@given(ROUGH, st.sampled_from(["7bit", "8bit"]), st.integers(1, 300))
@settings(max_examples=600, deadline=None)
def test_malformed_messages(message: bytes, target: str, cut: int) -> None:
    """8BM-2: of anything at all the bodies come back octet for octet, or it is told of."""
    try:
        out = _converted(message, target, cut=cut)
    except Unconvertible:
        return
    assert target == "8bit" or out.isascii()
    assert out.count(b"\r") == out.count(b"\n") == out.count(b"\r\n") and b"\0" not in out
    assert _bodies(out) == _bodies(message)
    assert not convert.plan([out], target).changes


def _bodies(message: bytes) -> list[bytes]:
    walker = mime_walk.Walker()
    bodies: dict[int, bytes] = {}
    for event, number, data in walker.walk([message]):
        if event in (mime_walk.BODY, mime_walk.END):
            bodies[number] = bodies.get(number, b"") + data
    for number, body in bodies.items():
        encoding = walker.parts[number].entity.encoding
        if encoding == b"quoted-printable":
            bodies[number] = binascii.a2b_qp(body)
        elif encoding == b"base64":
            bodies[number] = binascii.a2b_base64(body)
    return list(bodies.values())
