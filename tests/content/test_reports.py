"""Every kind of report as it goes out, held against a file that a person has read.

The files in reports/ have LF line ends, to be read and compared; what is sent has CRLF.  After a change
that is meant, METHER_GOLDEN=write makes them anew: read what came out before it is committed.  That programs
read them is shown in test_reports_read.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sample_reports import CASES, made

FILES = Path(__file__).parent / "reports"


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_was_read(name: str) -> None:
    """BNC-3 to BNC-9, EAI-9, EXT-1, EXT-2."""
    content = made(name)
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    file = FILES / f"{name}.eml"
    if os.environ.get("METHER_GOLDEN") == "write":
        file.write_bytes(content.replace(b"\r\n", b"\n"))
    assert content == file.read_bytes().replace(b"\n", b"\r\n")


def test_no_file_is_left_over() -> None:
    assert {file.stem for file in FILES.glob("*.eml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_eight_bits_are_only_where_a_report_cannot_do_without(name: str) -> None:
    """EAI-9, BNC-6: the way back may lack SMTPUTF8; text in 8 bits can be converted on it."""
    assert made(name).isascii() is (name not in ("smtputf8-sender", "declared-8bit"))
