"""xtext: how ORCPT and ENVID carry any text inside a parameter (RFC 3461 section 4, RFC 6533 section 3).

`decode` undoes it for fields that people and programs read.  It never fails: what is not well formed
stays as it is, since a report about a message must not depend on how its sender wrote a parameter.
`is_xtext` is for whoever takes a parameter; `encode` writes one.  `encode_utf8_address` writes an address
outside ASCII so that it can stand in a 7-bit report or command, `decode_utf8_address` undoes that, and
`original` gives the address that an ORCPT parameter stands for.
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


def decode_utf8_address(text: str) -> str:
    r"""The utf-8-address form: each ``\x{HEX}`` replaced by its character.

    All of it stays as it is when one of them names none, or one that no address may hold bare (a control
    character, which could begin a line of its own).
    """
    head, *rest = text.split("\\x{")
    out = [head]
    for piece in rest:
        digits, brace, after = piece.partition("}")
        char = ""
        if brace and 2 <= len(digits) <= 6 and all(digit in "0123456789ABCDEFabcdef" for digit in digits):
            point = int(digits, 16)
            if point < 0x110000 and not 0xD800 <= point < 0xE000:
                char = chr(point)
        if not char or not char.isprintable():
            return text
        out += [char, after]
    return "".join(out)


def original(orcpt: str, *, utf8: bool = False) -> str:
    r"""``type;address`` for an Original-Recipient field: ORCPT without its encoding (RFC 3461 section 6.3).

    The type ``utf-8`` is escaped by ``\x{HEX}`` and not by xtext; it is given in UTF-8 with `utf8`, else
    in its 7-bit form (RFC 6533 section 3).  What is not ``type;address`` is ``""``.
    """
    kind, semicolon, value = orcpt.partition(";")
    if not (semicolon and value and kind.isascii() and kind.replace("-", "").isalnum()):
        return ""
    if kind.lower() != "utf-8":
        decoded = decode(value)
        value = decoded if decoded.isascii() else value  # no other type has an address outside ASCII
    elif utf8:
        value = decode_utf8_address(value)
    if not utf8:
        value = "".join(char if char.isascii() else f"\\x{{{ord(char):02X}}}" for char in value)
    return f"{kind};{value}"


def _plain(char: str) -> bool:
    return "!" <= char <= "~" and char not in "+=\\"
