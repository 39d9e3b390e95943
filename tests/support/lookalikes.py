"""What looks like the end of content and is none: the byte sequences of SMTP smuggling (December 2023)."""

from __future__ import annotations

LOOKALIKES = [
    bytes.fromhex(octets)
    for octets in (
        "0A 2E 0A",
        "0A 2E 0D 0A",
        "0D 0A 2E 0A",
        "0D 2E 0D",
        "0D 2E 0D 0A",
        "0D 0A 2E 0D",
        "0D 0D 0A 2E 0D 0D 0A",
        "0D 0A 2E 0D 0D 0A",
        "0D 0A 00 2E 0D 0A",
        "0D 0A 2E 00 0D 0A",
    )
]
