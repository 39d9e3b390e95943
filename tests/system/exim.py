"""A private Exim, from the unpacked package, with a configuration and spool of its own.

`Exim` is run for each message; `EximServer` takes mail by SMTP and keeps it in its queue.

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
"""

PIPE = """\
  driver = pipe
  user = nobody
  group = nogroup
  message_prefix =
  message_suffix =
  return_fail_output
"""

DELIVERY = """\
log_selector = +all_parents +smtp_confirmation +tls_cipher +tls_certificate_verified
{main}
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
{transport}
begin retry
* * F,1h,15m
"""

SERVER = """\
daemon_smtp_ports = {port} : {tls_port}
tls_on_connect_ports = {tls_port}
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
auth_advertise_hosts = ${{if def:tls_in_cipher{{*}}}}
dsn_advertise_hosts = *
smtp_accept_max = 100
queue_only
acl_smtp_mail = acl_mail
acl_smtp_rcpt = acl_rcpt
acl_smtp_predata = acl_data
log_selector = +all
begin acl
acl_mail:
  accept
    logwrite = MAIL $smtp_command
acl_rcpt:
  deny
    domains = refused.example
    message = no such user here
  accept
    logwrite = RCPT $smtp_command
acl_data:
  accept
    logwrite = SAID $smtp_command login=$authenticated_id cipher=$tls_in_cipher envid=$dsn_envid ret=$dsn_ret
begin authenticators
PLAIN:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
LOGIN:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{login}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
"""


class Exim:
    """An Exim that delivers everything by one transport, by a pipe unless its settings name another driver.

    `main` are more of the main settings, `rest` is begin authenticators or the like.
    """

    def __init__(self, transport: str, main: str = "", rest: str = "") -> None:
        if "driver" not in transport:
            transport = PIPE + transport
        self._make(DELIVERY.format(transport=transport, main=main) + rest)

    def _make(self, settings: str, under: str | None = None) -> None:
        self.program = peers.program("exim")
        wrapper = list(peers.ROOT.glob("usr/lib/*/libnss_wrapper.so"))
        if self.program is None or not wrapper:
            raise RuntimeError("Exim is missing: run make peers")
        if os.geteuid() != 0:
            raise RuntimeError("Exim can be started with a configuration of ours by root only")
        self.base = Path(tempfile.mkdtemp(prefix="exim-", dir=under))
        self.base.chmod(0o755)
        for name in ("spool", "log"):
            (self.base / name).mkdir()
            os.chown(self.base / name, 65533, 65533)
        passwd, group = self.base / "passwd", self.base / "group"
        passwd.write_text(Path("/etc/passwd").read_text() + ACCOUNT)
        group.write_text(Path("/etc/group").read_text() + "Debian-exim:x:65533:\n")
        self.config = self.base / "exim.conf"
        self.config.write_text(CONFIG.format(exim=self.program, base=self.base) + settings)
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


class EximDaemon(Exim):
    """An Exim that listens on `port`, by the whole of its `settings`; it lies in the directory `under`."""

    port: int

    def __init__(self, port: int, settings: str, *, under: str | None = None) -> None:
        self.port = port
        self._make(settings, under)
        self.start()

    def start(self) -> None:
        """Start it, or start it again on the same queue."""
        assert self.program is not None
        with (self.base / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [self.program, "-C", str(self.config), "-bdf"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            peers.await_listener(self.port, self.process)
        except RuntimeError as error:
            text = (self.base / "output").read_text(errors="replace") + self.log()
            self.stop()
            raise RuntimeError(f"{error}\n{text}") from error

    def halt(self) -> None:
        """End the listening process."""
        self.process.terminate()
        self.process.wait()

    def stop(self) -> None:
        """End it and remove all it wrote."""
        self.halt()
        super().stop()


class EximServer(EximDaemon):
    """A listening Exim: `port` offers STARTTLS, `tls_port` begins with TLS; AUTH is offered within it.

    `certificate` and `key` are files in PEM that anybody may read.  It takes mail for any domain but
    refused.example.
    """

    LOGIN, PASSWORD = "ann@example.test", "secret"

    def __init__(self, certificate: str, key: str) -> None:
        port, self.tls_port = peers.free_port(), peers.free_port()
        settings = SERVER.format(
            port=port,
            tls_port=self.tls_port,
            certificate=certificate,
            key=key,
            login=self.LOGIN,
            password=self.PASSWORD,
        )
        super().__init__(port, settings)

    def main_log(self) -> str:
        """The main log alone: each thing once."""
        return (self.base / "log/mainlog").read_text(errors="replace")

    def body(self, ident: str) -> bytes:
        """The body of a message in its queue."""
        [path] = (self.base / "spool/input").rglob(f"{ident}-D")
        return path.read_bytes().partition(b"\n")[2]
