"""The units of packaging/systemd: what they promise, and that systemd reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
SERVICES = {"mether.service": "smtpd", "mether-runner.service": "runsmtpq --daemon"}
HARDENED = {
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "ProtectHome": "yes",
    "ProtectSystem": "strict",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces": "yes",
    "SystemCallFilter": "@system-service",
}
EXPOSED = 30
"""Tenths of a point, of 100, that systemd-analyze may find."""


def keys(path: Path) -> dict[str, str]:
    """The settings of a unit, or of a file beside one; each stands once."""
    found = re.findall(r"^(\w+)=(.*)$", path.read_text(), re.M)
    assert len(found) == len(dict(found)), "said twice"
    return dict(found)


@pytest.mark.parametrize(("name", "program"), SERVICES.items())
def test_what_the_services_promise(name: str, program: str) -> None:
    unit = keys(UNITS / name)
    assert unit["ExecStart"] == f"/opt/mether/bin/{program}"
    assert (unit["User"], unit["Group"], unit["Type"]) == ("mether", "mether", "notify-reload")
    assert {key: unit.get(key) for key in HARDENED} == HARDENED
    capabilities = "CAP_NET_BIND_SERVICE" if program == "smtpd" else ""
    assert unit["CapabilityBoundingSet"] == unit.get("AmbientCapabilities", "") == capabilities
    assert unit["StateDirectory"] == "mether"


def test_what_delivers_as_users_takes_back_what_is_in_its_way() -> None:
    """All that it says mether.service says, too: a key that is gone there has no business here."""
    more, unit = keys(UNITS / "as-users.conf"), keys(UNITS / "mether.service")
    assert set(more) <= set(unit)
    assert (more["User"], more["AmbientCapabilities"], more["NoNewPrivileges"]) == ("root", "", "no")
    assert {"CAP_SETUID", "CAP_SETGID", "CAP_KILL"} <= set(more["CapabilityBoundingSet"].split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_reads_them(name: str, tmp_path: Path) -> None:
    """With a program that is there, and a type that versions before 253 know, too."""
    text = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", (UNITS / name).read_text(), flags=re.M)
    text = text.replace("notify-reload", "notify").replace("Documentation=", "# ")
    (tmp_path / name).write_text(text)
    read = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / name],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Failed to initialize manager" in read.stderr or "Failed to setup working directory" in read.stderr:
        pytest.skip("systemd-analyze does not work here")
    assert not [line for line in read.stderr.splitlines() if name in line], read.stderr
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED}", tmp_path / name]
    judged = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "unrecognized option" in judged.stderr:
        pytest.skip("systemd is older than 250")
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr
