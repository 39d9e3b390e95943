"""Spools of other programs, as their documentation and sources have them, made by hand."""

from __future__ import annotations

import os
from pathlib import Path

AT = 1_790_000_000


def record(kind: str, data: bytes | str = b"") -> bytes:
    """A record of a Postfix queue file."""
    data = data.encode() if isinstance(data, str) else data
    length, head = len(data), bytearray()
    while True:
        head.append((length & 0x7F) | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return kind.encode() + bytes(head) + data


def postfix_file(
    *recipients: bytes, content: bytes = b"Subject: hi\n\nHello.\n", sender: str = "ann@example.org"
) -> bytes:
    """A queue file to these recipients (records of their own)."""
    body = b"".join(record("N", line) for line in content.splitlines())
    return b"".join(
        [
            record(
                "C", f"{len(content):15d} {100:15d} {len(recipients):15d} {0:15d} {len(content):15d} {0:15d}"
            ),
            record("T", f"{AT} 12345"),
            record("A", "log_client_name=c.test"),
            record("A", "rewrite_context=remote"),
            record("S", sender),
            *recipients,
            record("M"),
            body,
            record("X"),
            record("E"),
        ]
    )


def postfix(
    base: Path, *, queue: str = "deferred", name: str = "1A2B3C4D5E", data: bytes | None = None
) -> Path:
    """A queue_directory with one file in it."""
    for each in ("active", "deferred", "hold", "incoming", "maildrop"):
        (base / each).mkdir(parents=True, exist_ok=True)
    place = base / queue / (name[0] if queue == "deferred" else "")
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(postfix_file(record("R", "bob@example.net")) if data is None else data)
    os.chmod(place / name, 0o700)
    return place / name


IDENT = "1wE2xy-0001AB-2C"


def exim_header(
    *recipients: str,
    done: str = "XX",
    options: str = "",
    sender: str = "<ann@example.org>",
    ident: str = IDENT,
) -> bytes:
    """An -H file with a header of three fields, one of them removed."""
    fields = [(" ", "Subject: hi\n"), ("F", "From: ann@example.org\n"), ("*", "X-Gone: yes\n")]
    header = "".join(f"{len(text):03d}{kind} {text}" for kind, text in fields)
    lines = "\n".join(recipients)
    return (
        f"{ident}-H\nDebian-exim 101 101\n{sender}\n{AT} 0\n-received_time_usec .123456\n{options}"
        f"{done}\n{len(recipients)}\n{lines}\n\n{header}"
    ).encode()


def exim(base: Path, data: bytes | None = None, body: bytes = b"Hello.\n", ident: str = IDENT) -> Path:
    """A spool_directory with one message in it."""
    place = base / "input"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{ident}-H").write_bytes(exim_header("bob@example.net") if data is None else data)
    (place / f"{ident}-D").write_bytes(f"{ident}-D\n".encode() + body)
    return place / f"{ident}-H"


def nullmailer(
    base: Path, data: bytes = b"ann@example.org\nbob@example.net\n\nSubject: hi\n\nHello.\n"
) -> Path:
    """A spool with one message in it."""
    (base / "queue").mkdir(parents=True, exist_ok=True)
    path = base / "queue" / f"{AT}.1234"
    path.write_bytes(data)
    os.utime(path, (AT, AT))
    return path


def dma(
    base: Path,
    data: bytes = b"ID: 1f2e3d.55d0\nSender: ann@example.org\nRecipient: bob@example.net\n",
    content: bytes = b"Subject: hi\n\nHello.\n",
) -> Path:
    """A spool with one message in it."""
    base.mkdir(parents=True, exist_ok=True)
    (base / "Q1f2e3d.55d0").write_bytes(data)
    (base / "M1f2e3d.55d0").write_bytes(content)
    os.utime(base / "M1f2e3d.55d0", (AT, AT))
    return base / "Q1f2e3d.55d0"


OPENSMTPD = """\
version: 3
tag:
type: mta
smtpname: mx.test
helo: c.test
hostname: c.test
username:
errorline:
sockaddr: 192.0.2.1
sender: ann@example.org
rcpt: bob@example.net
dest: bob@example.net
ctime: 1790000000
last-try: 0
last-bounce: 0
expire: 345600
retry: 0
"""


def opensmtpd(base: Path, *more: str, content: bytes = b"Subject: hi\n\nHello.\n") -> Path:
    """A spool with one message in it, an envelope for each of `more`, else one."""
    place = base / "queue" / "3a" / "3a4b5c6d"
    place.mkdir(parents=True)
    (place / "message").write_bytes(content)
    for number, text in enumerate(more or [OPENSMTPD]):
        (place / f"3a4b5c6d{number:08x}").write_text(text)
    return place / "3a4b5c6d00000000"


def content(found) -> bytes:
    """All that a Found pulls."""
    pull = found.pull()
    return b"".join(iter(pull, b""))


def tree(base: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below, for showing that nothing was changed."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(base.rglob("*"))
        if path.is_file()
    }
