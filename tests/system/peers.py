"""The real mail programs that the system tests talk to: where they are, and how to get them.

    python tests/system/peers.py

unpacks Postfix, Exim, OpenSMTPD, nullmailer, dma, Dovecot, PostgreSQL, swaks, msmtp, what delivers mail
(procmail, maildrop, rmail, Cyrus' deliver) and what shows it (mutt, mblaze) from Debian's archive under
.peers/root, with the libraries that the system lacks.  Nothing is installed: the packages are fetched with
``apt-get download`` and unpacked with ``dpkg -x``, so that a machine's own mail service is never touched.
It needs no privilege, only apt-get with its lists.  Prints a line for each thing it cannot get; then the exit
status is 1.  Run again it does nothing, unless what is wanted has changed.

The rest is for the fixtures in conftest.py.  A program unpacked there is run with `environment`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
PEERS = TOP / ".peers"
ROOT = PEERS / "root"

PACKAGES = (
    "postfix",
    "exim4-daemon-light",
    "swaks",
    "msmtp",
    "libnss-wrapper",  # Exim insists on a user Debian-exim; this shows it one without touching /etc/passwd
    "libnet-ssleay-perl",  # swaks speaks TLS with it
    "libsasl2-modules",  # Postfix's client logs in with them
    "dovecot-core",
    "dovecot-lmtpd",
    "opensmtpd",
    "nullmailer",
    "dma",
    "procmail",
    "maildrop",
    "rmail",
    "cyrus-common",
    "mutt",
    "mblaze",
    "postgresql",  # the newest there is: see _meant
)

WHERE = {
    "smtp-source": "usr/sbin/smtp-source",
    "smtp-sink": "usr/sbin/smtp-sink",
    "postfix": "usr/lib/postfix/sbin/master",
    "exim": "usr/sbin/exim4",
    "swaks": "usr/bin/swaks",
    "msmtp": "usr/bin/msmtp",
    "dovecot": "usr/sbin/dovecot",
    "opensmtpd": "usr/sbin/smtpd",
    "nullmailer": "usr/sbin/nullmailer-queue",
    "dma": "usr/sbin/dma",
    "procmail": "usr/bin/procmail",
    "maildrop": "usr/bin/maildrop",
    "rmail": "usr/sbin/rmail",
    "cyrus-deliver": "usr/lib/cyrus/bin/deliver",
    "mutt": "usr/bin/mutt",
    "mshow": "usr/bin/mshow",
    "postgres": "usr/lib/postgresql/*/bin/postgres",
}


def program(name: str) -> str | None:
    """The path of a peer, unpacked or else the system's own; None when it is missing."""
    for found in sorted(ROOT.glob(WHERE[name])) if name in WHERE else ():
        return str(found)
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin")


def libraries() -> str:
    """The directories of the unpacked libraries, as LD_LIBRARY_PATH wants them."""
    dovecot = ROOT / "usr/lib/dovecot"
    places = [ROOT / "usr/lib/postfix", dovecot, dovecot / "modules/old-stats"]
    places += [*ROOT.glob("usr/lib/*-linux-*"), *ROOT.glob("lib/*-linux-*"), ROOT / "usr/lib"]
    return ":".join(str(place) for place in places if place.is_dir())


def environment(**more: str) -> dict[str, str]:
    """An environment in which the unpacked programs find their libraries and modules."""
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    perl = [*ROOT.glob("usr/lib/*/perl5/*"), ROOT / "usr/share/perl5"]
    return {
        "PATH": f"{ROOT}/usr/bin:{ROOT}/usr/sbin:{system}",
        "LD_LIBRARY_PATH": libraries(),
        "PERL5LIB": ":".join(map(str, perl)),
        "LANG": "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
        "TZ": "UTC",
        **more,
    }


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def await_listener(port: int, process: subprocess.Popen[bytes] | None = None, patience: float = 60) -> None:
    """Return once something accepts connections on 127.0.0.1:port.

    These programs do not tell when they are ready, so it is asked again and again; `patience` is how
    long until the test gives up.  Raises RuntimeError then, or when `process` has ended.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=patience).close()
        except OSError as error:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with status {process.returncode}") from error
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing listens on port {port} after {patience} s") from error
            time.sleep(0.01)
        else:
            return


def until(condition: Callable[[], object], patience: float = 60) -> None:
    """Return once another program has done its work; `patience` is only when the test gives up."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass in {patience} s"
        time.sleep(0.02)


def fetch() -> list[str]:
    """Unpack every peer under ROOT; returns a line for each thing that went wrong."""
    stamp, wanted = PEERS / "unpacked", "\n".join(PACKAGES) + "\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return []
    missing = [tool for tool in ("apt-get", "dpkg", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        return [f"peers: needs {' and '.join(missing)}, which only Debian and its kin have"]
    debs = PEERS / "debs"
    shutil.rmtree(PEERS, ignore_errors=True)
    debs.mkdir(parents=True)
    if os.geteuid() == 0:
        # As root it may be a machine whose lists were never fetched, as in a container image.
        _apt("update", "-q")
    names: list[str] = []
    for package in PACKAGES:
        names += [name for name in (*_meant(package), *_lacking(package)) if name not in names]
    # One by one, so that one missing package costs only itself.
    trouble = [
        f"peers: apt-get cannot download {name}"
        for name in names
        if not _apt("-q", "download", name, cwd=debs)
    ]
    trouble += [
        f"peers: cannot unpack {deb.name}"
        for deb in sorted(debs.glob("*.deb"))
        if subprocess.call(["dpkg-deb", "-x", str(deb), str(ROOT)])
    ]
    for path in ROOT.rglob("*"):  # no program here may lend its privilege
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o777)
    shutil.rmtree(debs)
    trouble += [f"peers: {name} is missing" for name in WHERE if program(name) is None]
    if not trouble:
        stamp.write_text(wanted)
    return trouble


def _meant(package: str) -> list[str]:
    """The package itself, or those with a version in their names that it stands for."""
    answer = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True, check=False)
    words = [line.split() for line in answer.stdout.splitlines() if "Depends:" in line]
    versions = [line[1] for line in words if line[1].startswith(f"{package}-") and line[1][-1].isdigit()]
    return versions or [package]


def _lacking(package: str) -> list[str]:
    """The libraries that the package needs and the system does not have."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", "-qq", package]
    # A package that conflicts with one installed is simulated as well as any: nothing comes of it.
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    names = [line.split()[1] for line in answer.splitlines() if line.startswith("Inst ")]
    # Not their helpers (cron, debconf, cpio ...), which only installing needs.
    return [name for name in names if name.startswith(("lib", "exim4-base", "perl-", "courier-authlib"))]


def _apt(*arguments: str, cwd: Path | None = None) -> bool:
    """Run apt-get, twice if need be: mirrors hiccup."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = ["apt-get", "-o", "APT::Sandbox::User=root", *arguments]
    return any(subprocess.call(command, cwd=cwd, **quiet) == 0 for _ in range(2))  # type: ignore[call-overload]


def main() -> int:
    """Fetch, tell, and return the exit status."""
    trouble = fetch()
    for line in trouble:
        print(line, file=sys.stderr)
    if not trouble:
        print("peers: " + ", ".join(f"{name}" for name in WHERE) + f" are in {PEERS.relative_to(TOP)}")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
