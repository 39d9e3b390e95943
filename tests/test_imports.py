"""What the programs that run once per message pay to start: nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "asyncio", "ssl", "socket", "re", "argparse", "enum", "typing", "dataclasses", "tomllib",
    "dns", "email", "logging", "random", "inspect", "selectors", "apsw", "idna",
}  # fmt: skip


@pytest.mark.parametrize(
    "modules",
    [
        "mether",
        "mether.address, mether.reply, mether.envelope, mether.outcome",
        "mether.smtp.transaction, mether.smtp.server, mether.smtp.wire",
        "mether.client.blocking, mether.net.blocking",
        "mether.server.dialogue",
        "mether.programs.smtp",
    ],
)
def test_no_heavy_import(modules: str) -> None:
    """Each of these costs a one-shot program a good part of a bare interpreter's start."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; bare = set(sys.modules)\nimport {modules}\n"
         "print(*(set(sys.modules) - bare))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {name.partition(".")[0] for name in done.stdout.split()} & HEAVY


def test_smtpqer_imports_only_its_queue() -> None:
    """It needs a store, but neither a loop nor a socket before that."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; bare = set(sys.modules)\nimport mether.programs.smtpqer\n"
         "print(*(set(sys.modules) - bare))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {name.partition(".")[0] for name in done.stdout.split()} & HEAVY
