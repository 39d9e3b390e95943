"""Reports as people see them: in mutt, and in mblaze, which share no code.

Neither knows message/global-delivery-status or message/global-headers (RFC 6533), nor mblaze message/global:
what a person has to know is in the text in any case.
"""

from __future__ import annotations

import email
import subprocess
from email import policy
from pathlib import Path
from typing import Any

import peers
import pytest
from test_delivery_programs import read

from conftest import _peer

REPORTS = Path(__file__).parent.parent / "content" / "reports"
every = pytest.mark.parametrize(
    "path", sorted(REPORTS.rglob("*.eml")), ids=lambda path: path.relative_to(REPORTS).as_posix()
)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def expected(octets: bytes, *, unknown: set[str]) -> list[str]:
    """What must be seen: the text, line by line, the fields, and the message or its header."""
    report: Any = email.message_from_bytes(octets, policy=policy.default)
    people, programs, last = report.get_payload()
    lines = people.get_content().splitlines()
    if programs.get_content_type() not in unknown:
        lines += [f"{field}: {value}" for block in programs.get_payload() for field, value in block.items()]
    kind = last.get_content_type()
    if kind == "text/rfc822-headers":
        # It has no charset (RFC 6522 section 4): of what nobody declared ASCII can be read.
        lines += [line.decode() for line in last.get_payload(decode=True).splitlines() if line.isascii()]
    elif kind == "message/rfc822":
        original = last.get_payload(0)
        lines += [f"Subject: {original['Subject']}", *original.get_content().splitlines()]
    elif kind == "message/global" and kind not in unknown:
        lines += ["Subject: Grüße", "Schön."]
    assert len(lines) > 8
    return [squeezed(line) for line in lines if line.strip()]


@every
def test_mutt_shows_it(path: Path, tmp_path: Path) -> None:
    """BNC-5, BNC-8: the text, the fields, and what came back."""
    for place in ("cur", "new", "tmp"):
        (tmp_path / "box" / place).mkdir(parents=True)
    octets = path.read_bytes()
    (tmp_path / "box" / "new" / "1.2.here").write_bytes(octets)
    shown = squeezed(read(_peer("mutt"), tmp_path / "box", tmp_path / "out", decoded=True))
    for line in expected(octets, unknown={"message/global-delivery-status", "message/global-headers"}):
        assert line in shown, f"{line!r} is not in {shown!r}"


@every
def test_mblaze_shows_it(path: Path) -> None:
    """BNC-5, BNC-8: the text, the fields, and what came back."""
    command = [_peer("mshow"), str(path)]
    answer = subprocess.run(command, env=peers.environment(), capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr
    shown = squeezed(answer.stdout.decode())
    unknown = {"message/global-delivery-status", "message/global-headers", "message/global"}
    for line in expected(path.read_bytes(), unknown=unknown):
        assert line in shown, f"{line!r} is not in {shown!r}"
