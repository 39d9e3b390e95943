"""What the kernel was asked between a message's last octets and its 250, as strace saw it."""

from __future__ import annotations

import re
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest
from peers import await_listener, free_port, until

BIN = Path(sys.executable).parent

CONFIG = """
[service]
hostname = "mx.example.test"
[queue]
spool = "{kind}:{base}/spool"
[[listen]]
address = "127.0.0.1:{port}"
[[route]]
domains = ["*"]
smtp = "127.0.0.1:9"
"""

CALLS = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync,openat,close"


def traced(log):
    """The calls in the order in which they ended: (name, its arguments and result)."""
    begun, ended = {}, []
    for line in log.splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[process] = call.removesuffix("<unfinished ...>")
            continue
        if call.startswith("<... "):
            call = begun.pop(process, "") + call.partition("resumed>")[2]
        found = re.match(r"(\w+)\((.*)", call)
        if found:
            ended.append(found.groups())
    return ended


@pytest.mark.parametrize(
    ("kind", "synced"),
    [("sqlite", r"queue\.sqlite3-wal"), ("directory", r"/spool")],
    ids=["sqlite", "directory"],
)
def test_a_sync_stands_between_the_last_octets_and_the_250(kind, synced, strace, tmp_path):
    """DAT-5: 250 comes only after the disk has been told to keep the message, and has answered."""
    port = free_port()
    config, log = tmp_path / "mether.toml", tmp_path / "trace"
    config.write_text(CONFIG.format(kind=kind, base=tmp_path, port=port))
    # With -D the process started is smtpd itself, and strace is beside it.
    argv = [strace, "-D", "-f", "-y", "-s", "100", "-e", f"trace={CALLS}", "-o", str(log)]
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [*argv, str(BIN / "smtpd"), "-C", str(config), "--no-runner"],
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        await_listener(port, process)
        with smtplib.SMTP("127.0.0.1", port, "client.example.net", timeout=60) as client:
            client.ehlo()
            client.mail("a@example.com")
            client.rcpt("b@example.net")
            code, _ = client.data(b"Subject: durable\r\n\r\nthe last octets\r\n")
        assert code == 250
    finally:
        process.terminate()
        process.wait()
    until(lambda: "+++ exited" in log.read_text(errors="replace"))
    calls = traced(log.read_text(errors="replace"))
    got = [at for at, (_, said) in enumerate(calls) if "the last octets" in said and r"\r\n.\r\n" in said]
    answered = [
        at
        for at, (name, said) in enumerate(calls)
        if name in ("write", "writev", "sendto", "sendmsg") and "250 2.0.0" in said and at > got[0]
    ]
    between = calls[got[0] + 1 : answered[0]]
    syncs = [said for name, said in between if name in ("fsync", "fdatasync")]
    assert any(re.search(synced, said) for said in syncs), between
    assert all(said.endswith("= 0") for said in syncs)
