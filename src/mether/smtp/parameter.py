"""The parameters of MAIL and RCPT: what each may say, and what it says (RFC 5321 section 4.1.1.11).

`MAIL` and `RCPT` map each parameter's name to the function that puts its value into an Envelope or a
Recipient; which of them a command may carry is decided by what was offered (`smtp.command`).  A value
that is wrong raises `BadParameter` with the reply it deserves, `501 5.5.4` unless its RFC says otherwise.
What a report or the next hop is given as the client wrote it (ENVID, ORCPT, NOTIFY) is checked and kept.
"""

from __future__ import annotations

from mether import address, xtext
from mether.envelope import By
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.envelope import Envelope, Recipient

MAX_ENVID: Final = 100
"""Characters of ENVID (RFC 3461 section 5.4)."""

MAX_ORCPT: Final = 500
"""Characters of ORCPT (RFC 3461 section 5.4)."""

MAX_HOLD: Final = 999_999_999
"""Seconds that HOLDFOR can say (RFC 4865 section 4.1)."""


class BadParameter(Exception):
    """A parameter's value is wrong; `reply` is the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def in_ascii(error: object) -> str:
    """What is wrong, without the UTF-8 that it may quote: no refusal is in it (RFC 6531 section 3.7.4)."""
    return str(error).encode("ascii", "backslashreplace").decode()


def _bad(text: str) -> BadParameter:
    return BadParameter(Reply(501, "5.5.4", text))


def _size(envelope: Envelope, value: str) -> None:
    if not (_digits(value) and len(value) <= 20):
        raise _bad("SIZE needs a number of octets")
    envelope.size = int(value)


def _body(envelope: Envelope, value: str) -> None:
    body = value.upper()
    if body not in ("7BIT", "8BITMIME", "BINARYMIME"):
        raise _bad("BODY is 7BIT, 8BITMIME or BINARYMIME")
    envelope.body = body


def _smtputf8(envelope: Envelope, value: str) -> None:
    if value:
        raise _bad("SMTPUTF8 takes no value")
    envelope.smtputf8 = True


def _requiretls(envelope: Envelope, value: str) -> None:
    if value:
        raise _bad("REQUIRETLS takes no value")
    envelope.requiretls = True


def _ret(envelope: Envelope, value: str) -> None:
    ret = value.upper()
    if ret not in ("FULL", "HDRS"):
        raise _bad("RET is FULL or HDRS")
    envelope.ret = ret


def _envid(envelope: Envelope, value: str) -> None:
    if not (0 < len(value) <= MAX_ENVID and xtext.is_xtext(value)):
        raise _bad(f"ENVID is xtext of up to {MAX_ENVID} characters (RFC 3461 section 4.4)")
    envelope.envid = value


def _auth(envelope: Envelope, value: str) -> None:
    """RFC 4954 section 5: the one who submitted the message first; whom we believe is not decided here."""
    if not xtext.is_xtext(value):
        raise _bad("AUTH is <> or a mailbox in xtext (RFC 4954 section 5)")
    mailbox = xtext.decode(value)
    if mailbox != "<>":
        try:
            address.parse(mailbox, utf8=True)
        except address.AddressError as error:
            raise _bad(f"AUTH is <> or a mailbox in xtext: {in_ascii(error)}") from None
    envelope.auth = mailbox


def _by(envelope: Envelope, value: str) -> None:
    """RFC 2852 section 4: ``seconds;mode`` and perhaps T."""
    number, semicolon, mode = value.upper().partition(";")
    digits = number[1:] if number[:1] in ("+", "-") else number
    if not (semicolon and _digits(digits) and len(digits) <= 9 and mode in ("R", "N", "RT", "NT")):
        raise _bad("BY is seconds;R or seconds;N, and T after that for a trace (RFC 2852 section 4)")
    seconds = int(number)
    if mode[0] == "R" and seconds <= 0:
        raise _bad("BY with R needs a time above 0 seconds (RFC 2852 section 4)")
    envelope.by = By(seconds, mode[0], mode.endswith("T"))


def _holdfor(envelope: Envelope, value: str) -> None:
    if not (_digits(value) and len(value) <= 9 and value[0] != "0"):
        raise _bad("HOLDFOR needs a number of seconds, from 1 to 999999999")
    _hold(envelope, f"for;{value}")


def _holduntil(envelope: Envelope, value: str) -> None:
    from mether.smtp.moment import parse_moment

    if parse_moment(value) is None:
        raise _bad("HOLDUNTIL needs a date-time such as 2026-12-24T18:00:00Z (RFC 3339)")
    _hold(envelope, f"until;{value.upper()}")


def _hold(envelope: Envelope, hold: str) -> None:
    if envelope.hold is not None:
        raise _bad("HOLDFOR and HOLDUNTIL exclude each other (RFC 4865 section 4)")
    envelope.hold = hold


def _priority(envelope: Envelope, value: str) -> None:
    digit = value[1:] if value[:1] == "-" else value
    if not (len(digit) == 1 and _digits(digit) and value != "-0"):
        raise BadParameter(Reply(501, "5.5.2", "MT-PRIORITY is a number from -9 to 9"))
    envelope.priority = int(value)


def _notify(recipient: Recipient, value: str) -> None:
    words = value.upper().split(",")
    known = set(words) <= {"SUCCESS", "FAILURE", "DELAY"} or words == ["NEVER"]
    if not known or len(set(words)) != len(words):
        raise _bad("NOTIFY is NEVER, or of SUCCESS, FAILURE and DELAY some with commas between")
    recipient.notify = value


def _orcpt(recipient: Recipient, value: str) -> None:
    kind, semicolon, original = value.partition(";")
    named = kind.isascii() and kind.replace("-", "").isalnum()
    if not (semicolon and named and original and len(value.encode()) <= MAX_ORCPT):
        raise _bad("ORCPT is an address type, a semicolon and an address in xtext")
    # RFC 6533 section 3: the type utf-8 has an escape of its own, and takes UTF-8 as it stands.
    if kind.lower() != "utf-8" and not xtext.is_xtext(original):
        raise _bad("ORCPT's address is xtext (RFC 3461 section 4.2)")
    recipient.orcpt = value


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


MAIL: Final[dict[str, Callable[[Envelope, str], None]]] = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _smtputf8,
    "RET": _ret,
    "ENVID": _envid,
    "AUTH": _auth,
    "REQUIRETLS": _requiretls,
    "BY": _by,
    "HOLDFOR": _holdfor,
    "HOLDUNTIL": _holduntil,
    "MT-PRIORITY": _priority,
}
RCPT: Final[dict[str, Callable[[Recipient, str], None]]] = {"NOTIFY": _notify, "ORCPT": _orcpt}
