"""Levels and fingerprints, which need no TLS to be read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mether.net.level import fingerprint

DIGITS = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        DIGITS.upper(),
        f"sha256:{DIGITS}",
        f"SHA256={DIGITS}",
        f"  {DIGITS} ",
        ":".join(DIGITS[i : i + 2] for i in range(0, 64, 2)),
    ],
)
def test_a_fingerprint_has_one_form(text: str) -> None:
    assert fingerprint(text) == DIGITS


@pytest.mark.parametrize("text", ["", DIGITS[1:], DIGITS + "0", "x" + DIGITS[1:]])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        fingerprint(text)


def test_who_reads_the_configuration_loads_no_tls() -> None:
    """sendmail does, for every message."""
    show = "import sys, mether.setup.config as c; c.loads(sys.argv[1]); print('ssl' in sys.modules)"
    text = '[[route]]\nsmtp = "smtp.example.net:587"\nlogin = { user = "ann", password_file = "password" }\n'
    done = subprocess.run([sys.executable, "-c", show, text], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
