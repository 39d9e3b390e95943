"""Whether another program seems to work its queue, so that messages would go twice.

A pid file in the queue whose process lives, or which is locked, tells it; and so does, where this user may
look, a process of that program whose working or root directory lies in the queue.  What cannot be seen is
taken for not running: the locks on single messages still count (see the readers).
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PROGRAMS: Final = {
    "postfix": ("master", "qmgr", "pickup", "cleanup", "smtpd"),
    "exim": ("exim", "exim4"),
    "nullmailer": ("nullmailer-send", "nullmailer-sen"),
    "dma": ("dma",),
    "opensmtpd": ("smtpd",),
}
"""The names of processes by source."""
PID_FILES: Final = {"postfix": "pid/master.pid", "exim": "exim-daemon.pid"}


def running(source: str, directory: str, processes: str = "/proc") -> str | None:
    """Why the program seems to be running on the directory, in words, or None."""
    name = PID_FILES.get(source)
    if (
        name is not None
        and (pid := _pid(os.path.join(directory, name), processes, PROGRAMS[source])) is not None
    ):
        return f"process {pid} has {name}" if pid else f"{name} is locked"
    top = os.path.realpath(directory)
    try:
        entries = sorted(entry for entry in os.listdir(processes) if entry.isdigit())
    except OSError:
        return None
    for entry in entries:
        if int(entry) == os.getpid() or _name(processes, entry) not in PROGRAMS[source]:
            continue
        for link in ("cwd", "root"):
            try:
                place = os.readlink(os.path.join(processes, entry, link))
            except OSError:
                continue
            if place == top or place.startswith(f"{top}/"):
                return f"process {entry} ({_name(processes, entry)}) works in {place}"
    return None


def _pid(path: str, processes: str, names: tuple[str, ...]) -> int | None:
    """The process of a pid file; 0 when it is only known that there is one, None when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 64).strip()
        pid = int(text) if text.isdigit() and len(text) < 12 else 0
        if pid and _name(processes, str(pid)) in names:
            return pid
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return 0
    except OSError:
        return None
    finally:
        os.close(fd)
    return None


def _name(processes: str, pid: str) -> str:
    try:
        with open(os.path.join(processes, pid, "comm"), encoding="utf-8", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""
