"""A root directory of a peer's own, for programs whose paths are compiled in.

OpenSMTPD and Dovecot look for their accounts, sockets, spool and helpers in places of the system that belong
to whoever administers it.  `Jail` makes a directory with the programs, the libraries that they load
and an /etc with their accounts, and starts them in it with chroot(8).  It must be used by root.  What they
write is seen from outside below `base`.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import peers


class Jail:
    """Holds `programs`, files below the unpacked root, at the places where they belong; see `start`.

    `accounts` are those of its passwd beside root and nobody; each has a group of its name and number.
    It lies in the directory `under`.
    """

    def __init__(self, *programs: str, accounts: dict[str, int], under: str | None = None) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="jail-", dir=under))
        self.base.chmod(0o755)
        for name in ("etc", "dev", "run", "tmp", "var/empty"):
            (self.base / name).mkdir(parents=True)
        (self.base / "tmp").chmod(0o1777)
        (self.base / "var/run").symlink_to("/run")
        known = {"root": 0, "nobody": 65534, **accounts}
        self.write(
            "etc/passwd", "".join(f"{name}:x:{n}:{n}::/var/empty:/bin/false\n" for name, n in known.items())
        )
        self.write("etc/group", "".join(f"{name}:x:{n}:\n" for name, n in known.items()))
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            device = self.base / "dev" / name
            try:
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            except PermissionError:  # in some containers; files will do, as randomness comes from the kernel
                device.touch()
            device.chmod(0o666)
        self._add(programs)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Make a file in it; returns where it is seen from outside."""
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def start(self, port: int, *command: str) -> None:
        """Start `command` in it, and return when it listens on `port`.  RuntimeError has its words."""
        with (self.base / "output").open("wb") as output:
            self.process = subprocess.Popen(
                self.command(*command),
                env={"PATH": "/usr/sbin:/usr/bin", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            peers.await_listener(port, self.process)
        except RuntimeError as error:
            text = (self.base / "output").read_text(errors="replace")
            self.stop()
            raise RuntimeError(f"{error}\n{text}") from error

    def command(self, *command: str) -> list[str]:
        """What to run outside for `command` to run in it."""
        return ["chroot", str(self.base), *command]

    def log(self) -> str:
        """What the programs wrote on their outputs."""
        return (self.base / "output").read_text(errors="replace")

    def stop(self) -> None:
        """End what was started, and remove everything."""
        self.halt()
        shutil.rmtree(self.base, ignore_errors=True)

    def halt(self) -> None:
        """End what was started; it may be started again."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _add(self, programs: tuple[str, ...]) -> None:
        """The programs, and each library that one of them loads, all in one directory."""
        binaries = [peers.ROOT / name for name in programs]
        listed = subprocess.run(
            ["ldd", *map(str, binaries)],
            env=peers.environment(),
            capture_output=True,
            text=True,
            check=False,  # scripts have none
        ).stdout
        (self.base / "lib").mkdir()
        (self.base / "lib64").symlink_to("/lib")
        for library in sorted(set(re.findall(r"(/\S+) \(0x", listed))):
            shutil.copy(library, self.base / "lib" / Path(library).name)
        loader = re.search(r"(/lib\S*/ld-linux\S*)", listed)
        if loader:  # where the programs name it, which is not always /lib64
            place = self.base / loader[1].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                shutil.copy(loader[1], place)
        for name, binary in zip(programs, binaries, strict=True):
            (self.base / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(binary, self.base / name)
