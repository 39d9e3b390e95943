"""A whole private Postfix, from the unpacked package, on ports and in directories of its own.

Postfix refuses to run without a mail owner, a set-gid group and default privileges of three different
accounts.  It is content with any; so that none need be created it is given ``daemon``, ``mail`` and
``nobody``, which every Debian has.  It must be started by root.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import peers

MAIN = """\
compatibility_level = 3.6
config_directory = {base}/etc
queue_directory = {base}/queue
data_directory = {base}/data
meta_directory = {base}/etc
daemon_directory = {daemons}
command_directory = {commands}
shlib_directory = {shared}
sendmail_path = {commands}/sendmail
mail_owner = daemon
setgid_group = mail
default_privs = nobody
maillog_file = {base}/log/maillog
maillog_file_prefixes = {base}
import_environment = LD_LIBRARY_PATH={libraries} TZ=UTC LANG=C MAIL_CONFIG={base}/etc MAIL_LOGTAG
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = postfix.example.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
default_database_type = hash
smtputf8_enable = yes
biff = no
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

QUEUES = (
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "incoming",
    "private",
    "saved",
    "trace",
)


class Postfix:
    """A running Postfix: `port` takes SMTP; `stop` ends it and removes all it wrote, `halt` only ends it.

    `main` and `master` are put after the settings above, and win.
    """

    def __init__(self, main: str = "", master: str = "", *, under: str | None = None) -> None:
        daemon = peers.program("postfix")
        if daemon is None:
            raise RuntimeError("Postfix is missing: run make peers")
        self.daemon = daemon
        if os.geteuid() != 0:
            raise RuntimeError("Postfix can be started by root only")
        self.port = peers.free_port()
        self.base = Path(tempfile.mkdtemp(prefix="postfix-", dir=under))
        self.base.chmod(0o755)  # its daemons run under three accounts
        unpacked = daemon.startswith(str(peers.ROOT))
        root = peers.ROOT if unpacked else Path("/")
        self.places = {
            "base": self.base,
            "daemons": Path(daemon).parent,
            "commands": root / "usr/sbin",
            "shared": root / "usr/lib/postfix",
            "libraries": peers.libraries(),
            "port": self.port,
        }
        self._lay_out()
        etc = self.base / "etc"
        (etc / "main.cf").write_text(_overridden(MAIN.format(**self.places), main))
        (etc / "master.cf").write_text(MASTER.format(**self.places) + master)
        self.start()

    def start(self) -> None:
        """Start it, or start it again on the same queue."""
        etc = self.base / "etc"
        with (self.base / "log/stderr").open("wb") as errors:
            self.process = subprocess.Popen(
                [self.daemon, "-c", str(etc), "-d"],
                env=peers.environment(MAIL_CONFIG=str(etc)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        try:
            peers.await_listener(self.port, self.process)
        except RuntimeError as error:
            text = (self.base / "log/stderr").read_text() + self.log()
            self.stop()
            raise RuntimeError(f"{error}\n{text}") from error

    @property
    def pid(self) -> int:
        """The master's process id; all the others are its children."""
        return self.process.pid

    def log(self) -> str:
        """All it has logged so far."""
        path = self.base / "log/maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def command(self, name: str, *arguments: str, check: bool = True) -> str:
        """Run one of its commands (postqueue, postsuper ...) on this instance; returns its output."""
        done = subprocess.run(
            [str(self.places["commands"] / name), "-c", str(self.base / "etc"), *arguments],  # type: ignore[operator]
            env=peers.environment(MAIL_CONFIG=str(self.base / "etc")),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{name}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def queued(self) -> int:
        """How many messages are in its queue."""
        return len([line for line in self.command("postqueue", "-j").splitlines() if line.strip()])

    def stop(self) -> None:
        """End every process of it and remove its files."""
        self.halt()
        shutil.rmtree(self.base, ignore_errors=True)

    def halt(self) -> None:
        """End every process of it; it may be started again."""
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _lay_out(self) -> None:
        """The directories that post-install would make, with their owners."""
        daemon, base = pwd.getpwnam("daemon"), self.base
        drop = grp.getgrnam("mail").gr_gid
        for name in ("etc", "queue", "data", "log", "queue/pid"):
            (base / name).mkdir()
        os.chown(base / "data", daemon.pw_uid, 0)
        for name in QUEUES:
            (base / "queue" / name).mkdir(mode=0o700)
            os.chown(base / "queue" / name, daemon.pw_uid, 0)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (base / "queue" / name).mkdir()
            os.chown(base / "queue" / name, daemon.pw_uid, drop)
            (base / "queue" / name).chmod(mode)


def _overridden(text: str, main: str) -> str:
    """The settings with those that `main` sets anew taken out: Postfix warns of what is said twice."""
    names = set(re.findall(r"^(\w+)\s*=", main, re.M))
    kept = [line for line in text.splitlines() if line.split(" ")[0] not in names]
    return "\n".join(kept) + "\n" + main + "\n"
