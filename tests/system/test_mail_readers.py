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
from sample_reports import CASES, made
from test_delivery_programs import read

from conftest import _peer

every = pytest.mark.parametrize("name", CASES)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def expected(name: str, *, unknown: set[str]) -> list[str]:
    """What must be seen: the text, line by line, the fields, and the message or its header."""
    people, programs, last = email.message_from_bytes(made(name), policy=policy.default).get_payload()  # type: ignore[misc]
    parts: list[Any] = [people, programs, last]
    lines = parts[0].get_content().splitlines()
    if parts[1].get_content_type() not in unknown:
        lines += [f"{field}: {value}" for block in parts[1].get_payload() for field, value in block.items()]
    if parts[2].get_content_type() not in unknown:
        _, envelope, original, _ = CASES[name]
        utf8 = "Grüße" in original.decode("utf-8", "replace")
        # text/rfc822-headers has no charset (RFC 6522 section 4): of what nobody declared ASCII can be read.
        global_ = parts[2].get_content_type() != "text/rfc822-headers"
        lines += ["Subject: Lunch" if not utf8 else "Subject: Grüße" if global_ else "Subject: Gr"]
        if parts[2].get_content_maintype() == "message" and envelope.ret != "HDRS":
            body = original.partition(b"\r\n\r\n")[2].decode()
            lines += body.splitlines()
    assert len(lines) > 8
    return [squeezed(line) for line in lines if line.strip()]


@every
def test_mutt_shows_it(name: str, tmp_path: Path) -> None:
    """BNC-5, BNC-8: the text, the fields, and what came back."""
    for place in ("cur", "new", "tmp"):
        (tmp_path / "box" / place).mkdir(parents=True)
    (tmp_path / "box" / "new" / "1.2.here").write_bytes(made(name).replace(b"\r\n", b"\n"))
    shown = squeezed(read(_peer("mutt"), tmp_path / "box", tmp_path / "out", decoded=True))
    for line in expected(name, unknown={"message/global-delivery-status", "message/global-headers"}):
        assert line in shown, f"{line!r} is not in {shown!r}"


@every
def test_mblaze_shows_it(name: str, tmp_path: Path) -> None:
    """BNC-5, BNC-8: the text, the fields, and what came back."""
    file = tmp_path / "report"
    file.write_bytes(made(name))
    command = [_peer("mshow"), str(file)]
    answer = subprocess.run(command, env=peers.environment(), capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr
    shown = squeezed(answer.stdout.decode())
    unknown = {"message/global-delivery-status", "message/global-headers", "message/global"}
    for line in expected(name, unknown=unknown):
        assert line in shown, f"{line!r} is not in {shown!r}"
