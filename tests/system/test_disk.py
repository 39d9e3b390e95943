"""A full disk, under a real service: a small file system of its own, seen by the service alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import daemon as support
import pytest
from daemon import Client, Daemon

SMALL = "3m"


@pytest.fixture
def smtpd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """smtpd with its spool on a file system of a few megabytes."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a file system can be mounted by root only")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    (tmp_path / "spool").mkdir()
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "smtpd"
    mount = f'mount -t tmpfs -o size={SMALL} tmpfs "{tmp_path}/spool"'
    wrapper.write_text(f"""#!/bin/sh
exec unshare -m sh -c '{mount} && exec "{support.BIN}/smtpd" "$@"' smtpd "$@"
""")
    wrapper.chmod(0o755)
    monkeypatch.setattr(support, "BIN", wrapper.parent)
    one = Daemon(tmp_path, arguments=("--no-runner",))
    yield one
    if one.process.poll() is None:
        one.stop(signal.SIGKILL)


def test_a_full_disk_is_told_and_gets_well_without_a_restart(smtpd: Daemon) -> None:
    """SIZ-3: 452 4.3.1 before acceptance, the listener still answering; what was queued before stays."""
    large = "X: y\r\n\r\n" + ("x" * 70 + "\r\n") * 3000  # goes to a file
    spool = Path(f"/proc/{smtpd.process.pid}/root{smtpd.base}/spool")
    client = Client(smtpd.port)
    client.say("EHLO client.example")

    def send(content: str = "X: y\r\n\r\n" + "x" * 30000) -> str:
        answer: str = client.mail("a@client.example", "bob@example.com", content=content)
        return answer[:9]

    assert send() == "250 2.0.0"
    fd = os.open(spool / "fill", os.O_CREAT | os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        _fill(fd)
    os.close(fd)
    assert [send(), send(), send(large)] == ["452 4.3.1"] * 3
    other = Client(smtpd.port)
    assert other.greeting.startswith("220 ")
    other.close()
    (spool / "fill").unlink()
    assert [send(), send(large)] == ["250 2.0.0"] * 2
    client.close()
    assert smtpd.stop() == 0
    assert not [line for line in smtpd.lines if "Traceback" in line]


def _fill(fd: int) -> None:
    while True:
        os.write(fd, b"x" * 4096)
