"""A private Exim, from the unpacked package, with a configuration and spool of its own.

Exim insists on the user and group ``Debian-exim`` that its package creates; libnss-wrapper shows it
a passwd file that has them.  It delivers through the one transport that a test writes.  It must be
started by root: only then does it keep its privilege with a configuration of ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import peers

ACCOUNT = "Debian-exim:x:65533:65533::/nonexistent:/usr/sbin/nologin\n"

CONFIG = """\
exim_path = {exim}
spool_directory = {base}/spool
log_file_path = {base}/log/%slog
primary_hostname = exim.example.test
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
add_environment = PATH=/usr/sbin:/usr/bin:/sbin:/bin
trusted_users = root
never_users =
disable_ipv6
local_interfaces = 127.0.0.1
log_selector = +all_parents +smtp_confirmation
begin routers
all:
  driver = accept
  condition = ${{if def:sender_address}}
  transport = mailer
reports:
  driver = redirect
  data = :blackhole:
begin transports
mailer:
  driver = pipe
  user = nobody
  group = nogroup
  message_prefix =
  message_suffix =
  return_fail_output
{transport}
begin retry
* * F,1h,15m
"""


class Exim:
    """An Exim that delivers everything by the pipe transport whose settings are `transport`."""

    def __init__(self, transport: str) -> None:
        self.program = peers.program("exim")
        wrapper = list(peers.ROOT.glob("usr/lib/*/libnss_wrapper.so"))
        if self.program is None or not wrapper:
            raise RuntimeError("Exim is missing: run make peers")
        if os.geteuid() != 0:
            raise RuntimeError("Exim can be started with a configuration of ours by root only")
        self.base = Path(tempfile.mkdtemp(prefix="exim-"))
        self.base.chmod(0o755)
        for name in ("spool", "log"):
            (self.base / name).mkdir()
            os.chown(self.base / name, 65533, 65533)
        passwd, group = self.base / "passwd", self.base / "group"
        passwd.write_text(Path("/etc/passwd").read_text() + ACCOUNT)
        group.write_text(Path("/etc/group").read_text() + "Debian-exim:x:65533:\n")
        self.config = self.base / "exim.conf"
        self.config.write_text(CONFIG.format(exim=self.program, base=self.base, transport=transport))
        self.environment = peers.environment(
            LD_PRELOAD=str(wrapper[0]), NSS_WRAPPER_PASSWD=str(passwd), NSS_WRAPPER_GROUP=str(group)
        )

    def run(self, *arguments: str, content: bytes = b"") -> str:
        """Run it with these arguments; returns what it printed.  Raises RuntimeError when it fails."""
        assert self.program is not None
        done = subprocess.run(
            [self.program, "-C", str(self.config), *arguments],
            env=self.environment,
            input=content,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            text = (done.stdout + done.stderr).decode(errors="replace")
            raise RuntimeError(f"exim {' '.join(arguments)}: status {done.returncode}: {text}\n{self.log()}")
        return done.stdout.decode(errors="replace")

    def deliver(self, sender: str, *recipients: str, content: bytes) -> None:
        """Submit a message, and return when it has been tried.

        Delivered by a queue run: Exim would begin an immediate delivery by starting its set-uid self as
        another user, for whom the loader ignores where our libraries lie.
        """
        self.run("-odq", "-oi", "-f", sender, *recipients, content=content)
        self.run("-qf")

    def queued(self) -> int:
        """How many messages are in its queue."""
        return int(self.run("-bpc"))

    def log(self) -> str:
        """What the main log says: ``=>`` delivered, ``==`` deferred, ``**`` bounced."""
        return "".join(
            path.read_text(errors="replace")
            for path in sorted((self.base / "log").glob("*log"))
            if path.is_file()
        )

    def stop(self) -> None:
        """Remove all it wrote."""
        shutil.rmtree(self.base, ignore_errors=True)
