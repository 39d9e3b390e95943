"""A private PostgreSQL on a Unix socket, with nothing in it, for an account that is not root's.

Its files are in a directory of its own under /tmp, since a socket's path is short; nothing is synced.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import peers

NOBODY = 65534


class Postgresql:
    """A running server: `url` is where a superuser connects without a password."""

    def __init__(self, postgres: str) -> None:
        self._bin = Path(os.path.realpath(postgres)).parent
        self._account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        if self._account:
            os.chown(self.directory, NOBODY, NOBODY)
        self._data = self.directory / "data"
        self.url = f"postgresql://mether@/postgres?host={self.directory}"
        self._run("initdb", "-A", "trust", "-U", "mether", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = f"-c listen_addresses='' -c fsync=off -k {self.directory}"
        log = str(self.directory / "log")
        self._run("pg_ctl", "start", "-w", "-t", "60", "-s", "-l", log, "-o", options)

    def stop(self) -> None:
        """Stop it at once."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-s")

    def remove(self) -> None:
        """Stop it, if it runs, and remove its files."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-s", check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(
            [self._bin / program, "-D", self._data, *arguments],
            cwd=self.directory,
            env=peers.environment(HOME=str(self.directory)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **self._account,  # type: ignore[call-overload]
        )
        assert not check or done.returncode == 0, f"{program}: {done.stderr}"
