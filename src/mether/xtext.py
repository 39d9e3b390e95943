"""xtext: how ORCPT and ENVID carry any text inside a parameter (RFC 3461 section 4, RFC 6533 section 3).

`decode` undoes it for fields that people and programs read.  It never fails: what is not well formed
stays as it is, since a report about a message must not depend on how its sender wrote a parameter.
`is_xtext` is for whoever takes a parameter; `encode` writes one.  `encode_utf8_address` writes an address
outside ASCII so that it can stand in a 7-bit report or command.
"""

from __future__ import annotations


def decode(text: str) -> str:
    """The text with each ``+XX`` (upper-case hexadecimal) replaced by that octet, read as UTF-8."""
    if "+" not in text:
        return text
    out = bytearray()
    head, *rest = text.split("+")
    out += head.encode("utf-8", "replace")
    for piece in rest:
        digits = piece[:2]
        if len(digits) == 2 and all(digit in "0123456789ABCDEF" for digit in digits):
            out.append(int(digits, 16))
            piece = piece[2:]
        else:
            out += b"+"
        out += piece.encode("utf-8", "replace")
    return out.decode("utf-8", "replace")


def is_xtext(text: str) -> bool:
    """Whether the text is well formed: ``!`` to ``~`` without ``+`` and ``=``, and ``+XX``."""
    head, *rest = text.split("+")
    return all(_plain(char) or char == "\\" for char in head) and all(
        len(piece) >= 2
        and all(digit in "0123456789ABCDEF" for digit in piece[:2])
        and all(_plain(char) or char == "\\" for char in piece[2:])
        for piece in rest
    )


def encode(text: str) -> str:
    """The text in xtext; outside ASCII as the octets of UTF-8."""
    return "".join(
        char if _plain(char) or char == "\\" else "".join(f"+{octet:02X}" for octet in char.encode())
        for char in text
    )


def encode_utf8_address(text: str) -> str:
    r"""The utf-8-addr-xtext form: ``\x{HEX}`` for all but printable ASCII without ``+ = \``."""
    return "".join(char if _plain(char) else f"\\x{{{ord(char):02X}}}" for char in text)


def _plain(char: str) -> bool:
    return "!" <= char <= "~" and char not in "+=\\"
