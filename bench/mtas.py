"""The services that relay, alike: mether, Postfix, Exim and OpenSMTPD, each private and with its own queue.

    mta = start("postfix", {"*": port}, under)

`hops` maps a domain to the port on 127.0.0.1 where its next hop listens; ``"*"`` are all domains.  Each
has `port` (it takes SMTP from this host), `pid` (all its processes descend from it), `stop`, and for what is
measured with a full queue `halt` (end it, keep the queue), `start` and `listing` (the command that lists the
queue, and its environment).

Each keeps the durability of its defaults: mether, Postfix and Exim sync before they say 250.  OpenSMTPD 6.8
makes no sync at all (strace), and is measured as it is.  What was set is what an operator who relays this
load would set, and nothing that trades safety:

| service | set | because |
|---|---|---|
| mether | max_size | the large message is a little larger than the default allows |
| Postfix | message_size_limit | its default is 10 MB |
| Exim | message_size_limit | the same |
| Exim | smtp_accept_max = 100 | by default it refuses the 21st session |
| Exim | smtp_accept_max_per_connection = 0 | by default it ends a session after 1,000 messages |
| Exim | smtp_accept_queue_per_connection = 0 | by default it only queues what is behind ten messages |
| Exim | deliver_drop_privilege | it is not installed set-uid here |
| OpenSMTPD | smtp max-message-size | its default is 35 MB |
| OpenSMTPD | smtp limit max-mails | by default it refuses the 101st message of a session |
| OpenSMTPD | mta limit | by default it waits between connections to a host, and sends 100 messages over one |

OpenSMTPD has room for five connections that wait to be accepted; when twenty clients come at once the kernel
drops some, which try again after a second.  That is compiled in.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import until_banner
from services import PYTHON, TOP, Postfix, Smtpd, peers

from mether import __version__

# Of tests/system, which services has put on the path.
import exim  # isort: skip
from jail import Jail  # isort: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from services import Tls

ALL = ("mether", "postfix", "exim", "opensmtpd")

LARGEST = 64 << 20

METHER = """\
[queue]
spool = "sqlite:{{base}}/spool"

[[listen]]
address = "127.0.0.1:{{port}}"
max_size = {size}
"""
METHER_ROUTE = """
[[route]]
domains = ["{domain}"]
smtp = "127.0.0.1:{port}"
"""

POSTFIX = """\
message_size_limit = {size}
mailbox_size_limit = 0
"""

EXIM = """\
daemon_smtp_ports = {port}
message_size_limit = {size}
smtp_accept_max = 100
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
deliver_drop_privilege
tls_advertise_hosts =
acl_smtp_rcpt = acl_rcpt
begin acl
acl_rcpt:
  accept
begin routers
all:
  driver = manualroute
  transport = remote
  route_list = {routes}
  self = send
begin transports
remote:
  driver = smtp
  allow_localhost
begin retry
* * F,2h,15m; G,16h,1h,1.5; F,4d,6h
"""

OPENSMTPD = """\
smtp limit max-mails 1000000
mta limit session-mail-max 10000 conn-delay-relay 0 conn-delay-host 0 conn-delay-domain 0 reconn-delay-route 0
smtp max-message-size {size}
listen on 127.0.0.1 port {port} hostname opensmtpd.example.test
"""
OPENSMTPD_ROUTE = """\
action "to-{port}" relay host "smtp://127.0.0.1:{port}"
match from any for {domain} action "to-{port}"
"""


METHER_TLS = """
[tls]
certificate = ["{certificate}"]
key = ["{key}"]
"""
POSTFIX_TLS = """\
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtp_tls_security_level = encrypt
smtp_tls_connection_reuse = yes
"""
TLSPROXY = "tlsproxy unix - - n - 0 tlsproxy\n"


class Mether(Smtpd):
    """smtpd with its queue in SQLite."""

    def __init__(
        self,
        hops: Mapping[str, int],
        under: str,
        *arguments: str,
        source: str | None = None,
        more: str = "",
        tls: Tls | None = None,
    ) -> None:
        if tls is not None:
            more += METHER_TLS.format(certificate=tls.certificate, key=tls.key)
        routes = "".join(METHER_ROUTE.format(domain=domain, port=port) for domain, port in hops.items())
        super().__init__(METHER.format(size=LARGEST) + routes + more, under, *arguments, source=source)

    def listing(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """smtpq with these arguments."""
        code = "import sys; from mether.programs.smtpq import main; sys.exit(main())"
        return [PYTHON, "-c", code, *arguments, "-C", str(self.config)], self.environment


class PostfixMta(Postfix):
    """A Postfix that relays."""

    def __init__(self, hops: Mapping[str, int], under: str, *, tls: Tls | None = None) -> None:
        main, master = POSTFIX.format(size=LARGEST), ""
        if tls is not None:
            main += POSTFIX_TLS.format(certificate=tls.certificate, key=tls.key)
            master = TLSPROXY
        some = [f"{{{domain}=smtp:[127.0.0.1]:{port}}}" for domain, port in hops.items() if domain != "*"]
        if "*" in hops:
            main += f"relayhost = [127.0.0.1]:{hops['*']}\n"
        if some:
            main += f"transport_maps = inline:{{{', '.join(some)}}}\n"
        super().__init__(main, master, under=under)

    def listing(self) -> tuple[list[str], dict[str, str]]:
        """postqueue -p."""
        command = [f"{self.places['commands']}/postqueue", "-c", f"{self.base}/etc", "-p"]
        return command, peers.environment(MAIL_CONFIG=f"{self.base}/etc")


class EximMta(exim.EximDaemon):
    """An Exim that delivers each message at once, in a process of its own, as it does by default."""

    def __init__(self, hops: Mapping[str, int], under: str) -> None:
        routes = " ; ".join(f"{domain} 127.0.0.1::{port}" for domain, port in hops.items())
        port = peers.free_port()
        super().__init__(port, EXIM.format(port=port, size=LARGEST, routes=routes), under=under)

    @property
    def pid(self) -> int:
        """The listening process."""
        return self.process.pid

    def listing(self) -> tuple[list[str], dict[str, str]]:
        """exim -bp."""
        assert self.program is not None
        return [self.program, "-C", str(self.config), "-bp"], self.environment

    def stop(self) -> None:
        """End it and what it has forked, and remove all it wrote."""
        self.halt()
        exim.Exim.stop(self)

    def halt(self) -> None:
        """End it; deliveries under way, which outlive the listening process, end too."""
        super().halt()
        for process in _running(str(self.config)):
            try:
                os.kill(process, 15)
            except ProcessLookupError:
                pass


class OpenSmtpdMta:
    """An OpenSMTPD that relays, in a root directory of its own."""

    def __init__(self, hops: Mapping[str, int], under: str) -> None:
        accounts = {"opensmtpd": 65531, "opensmtpq": 65532}
        self.jail = Jail("usr/sbin/smtpd", "usr/sbin/smtpctl", accounts=accounts, under=under)
        self.port = peers.free_port()
        text = OPENSMTPD.format(port=self.port, size=LARGEST)
        for domain, port in hops.items():
            of = "any" if domain == "*" else f'domain "{domain}"'
            text += OPENSMTPD_ROUTE.format(domain=of, port=port)
        self.jail.write("etc/smtpd.conf", text)
        self.jail.write("etc/mailname", "opensmtpd.example.test\n")
        self.jail.write("etc/resolv.conf", "lookup file\n")
        control = self.jail.base / "usr/sbin/smtpctl"  # it insists on the group of its queue
        os.chown(control, 0, accounts["opensmtpq"])
        control.chmod(0o2755)
        for name in ("var/lib/opensmtpd/empty", "var/spool"):
            (self.jail.base / name).mkdir(parents=True)
        (self.jail.base / "var/spool/smtpd").mkdir(mode=0o711)
        self.start()

    @property
    def pid(self) -> int:
        """Its parent process."""
        assert self.jail.process is not None
        return self.jail.process.pid

    def start(self) -> None:
        """Start it, or start it again on the same queue."""
        self.jail.start(self.port, "/usr/sbin/smtpd", "-d")

    def halt(self) -> None:
        """End it."""
        self.jail.halt()

    def stop(self) -> None:
        """End it and remove all it wrote."""
        self.jail.stop()

    def listing(self) -> tuple[list[str], dict[str, str]]:
        """smtpctl show queue."""
        return self.jail.command("/usr/sbin/smtpctl", "show", "queue"), {"PATH": "/usr/sbin:/usr/bin"}


Mta = Mether | PostfixMta | EximMta | OpenSmtpdMta


def start(
    name: str, hops: Mapping[str, int], under: str, *, source: str | None = None, tls: Tls | None = None
) -> Mta:
    """The service of that name, running and relaying to `hops`; what cannot be started ends the benchmark.

    With `tls`, which Exim and OpenSMTPD cannot have here, it uses STARTTLS on both sides.
    """
    try:
        if name == "mether":
            return Mether(hops, under, source=source, tls=tls)
        if name == "postfix":
            return PostfixMta(hops, under, tls=tls)
        if name in ALL and tls is None:
            return {"exim": EximMta, "opensmtpd": OpenSmtpdMta}[name](hops, under)
    except RuntimeError as error:
        raise SystemExit(f"{name}: {error}") from None
    raise SystemExit(f"unknown service {name}: there are {', '.join(ALL)}; with TLS mether and postfix")


def started(running: Mta) -> float:
    """Start it again; the seconds from then until its 220."""
    with ThreadPoolExecutor(1) as thread:
        began = time.monotonic()
        ready = thread.submit(running.start)
        banner = until_banner(running.port) - began
        ready.result()
    return banner


def versions(source: str | None = None) -> dict[str, str]:
    """What is measured: our version, and each peer's as Debian says it."""
    top = Path(source).parent if source else TOP
    found = {"mether": __version__}
    said = subprocess.run(
        ["git", "-C", str(top), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode == 0:
        found["mether"] += f" ({said.stdout.strip()})"
    for package in ("postfix", "exim4-daemon-light", "opensmtpd"):
        for root in (peers.ROOT, Path("/")):
            path = root / f"usr/share/doc/{package}/changelog.Debian.gz"
            if path.exists():
                first = gzip.decompress(path.read_bytes()).decode(errors="replace")
                found[package] = re.search(r"\((.*?)\)", first)[1]  # type: ignore[index]
                break
    return found


def _running(word: str) -> list[int]:
    """The processes with `word` among their arguments."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if word.encode() in file.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                continue
    return found
