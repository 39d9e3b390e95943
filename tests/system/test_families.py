"""Address families that lead nowhere, in network namespaces of their own (root, ip(8) and unshare(1))."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

CONNECT = """
import asyncio, json, sys, time
from mether.client.connect import connect_first
from mether.client.session import Timeouts

async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), sys.argv[1], 2525)
    client = await connect_first(asyncio.get_running_loop(), sys.argv[2:], 2525, Timeouts())
    print(json.dumps([client.address, client.passed]))
    client.abort()
    server.close()

asyncio.run(main())
"""
SILENT = (
    "ip link add nowhere type veth peer name other && ip link set nowhere up && ip link set other up && "
    "ip -6 addr add 2001:db8::2/64 dev nowhere nodad && "
    "ip -6 neigh add 2001:db8::1 lladdr 02:00:00:00:00:01 dev nowhere nud permanent && "
)
"""An IPv6 network in which nobody answers."""


def inside(network: str, listens: str, *addresses: str) -> list[object]:
    """Which address was connected to, and which ones failed before, in a namespace with only loopback."""
    if os.geteuid() or not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("needs root, unshare and ip")
    script = f'ip link set lo up && {network} exec "$@"'
    argv = ["unshare", "-n", "sh", "-c", script, "sh", sys.executable, "-c", CONNECT, listens, *addresses]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode and "Traceback" not in done.stderr:
        pytest.skip(done.stderr.strip() or "no network namespace")
    assert not done.returncode, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def test_a_family_without_a_route_is_passed_at_once() -> None:
    """MX-9."""
    assert inside("", "127.0.0.2", "2001:db8::1", "127.0.0.2") == ["127.0.0.2", ["2001:db8::1"]]
    assert inside("", "::1", "192.0.2.1", "::1") == ["::1", ["192.0.2.1"]]


def test_a_family_in_which_nobody_answers_is_not_waited_for() -> None:
    """MX-9: RFC 8305; it has neither failed nor answered when the other family does."""
    assert inside(SILENT, "127.0.0.2", "2001:db8::1", "127.0.0.2") == ["127.0.0.2", []]
