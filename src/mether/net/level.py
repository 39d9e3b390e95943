"""The levels of TLS, and fingerprints, as a configuration writes them.

They stand apart from what does TLS (`net.tls`): a program that only reads the configuration, such as
sendmail, does not load the ssl module, which would take it a tenth of its time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LEVELS: Final = ("none", "may", "encrypt", "verify", "fingerprint")
"""What is demanded of a server, from nothing to one certificate."""


def fingerprint(text: str) -> str:
    """A SHA-256 as it is written, ``sha256:`` and colons or not, in one form.  Raises ValueError."""
    digits = text.strip().lower().removeprefix("sha256:").removeprefix("sha256=").replace(":", "")
    if len(digits) != 64 or any(one not in "0123456789abcdef" for one in digits):
        raise ValueError("expected a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons")
    return digits
