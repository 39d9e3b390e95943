"""The queue run behind the back of whoever has queued a message, so that sendmail returns at once.

`start` begins one process for a spool and no second one: it holds a lock in the spool as long as it works,
and looks once more after it has let go of that, so that what was queued while it ended waits for nobody.  A
daemon that works the queue makes it needless: it is woken (`Store.wake`).

What it does is logged by syslog(3), as nobody sees its stderr.  Nothing here fails: the message is queued,
and the next run of the queue takes it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

LOCK: Final = "behind.lock"


def start(url: str, config: str | None, spool: str | None) -> None:
    """Have the queue at `url` run by a process of its own, unless one is at it; `config` and `spool` are what
    the options said."""
    from mether.queue.open import parted
    from mether.queue.store import StoreError

    try:
        fd = _opened(os.path.join(parted(url)[1], LOCK))
    except (OSError, StoreError):
        return
    try:
        if _locked(fd) and not os.fork():
            _become(fd, [config or "", spool or ""])
    except OSError:
        pass
    finally:
        os.close(fd)


def _opened(path: str) -> int:
    """The lock's file.  One that root makes is the spool's owner's.  Raises OSError."""
    from mether.queue import disk

    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return disk.lock_file(path)
    try:
        disk.give(fd, os.path.dirname(path))
    except OSError:
        os.close(fd)
        raise
    return fd


def _become(fd: int, arguments: Sequence[str]) -> None:
    """Be that process.  Never returns."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.set_inheritable(fd, True)
        # -P: what lies in the working directory of whoever calls sendmail is none of our modules.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "mether.programs.behind", str(fd), *arguments])
    finally:
        os._exit(71)


def _locked(fd: int) -> bool:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(argv: Sequence[str]) -> int:
    """The process: `argv` is the descriptor of the lock, the configuration and the spool ("": not said)."""
    import fcntl
    import time

    from mether.queue.open import open_store
    from mether.queue.store import Select
    from mether.setup import config as config_
    from mether.setup import locate, logs, service

    fd = int(argv[0])
    os.set_inheritable(fd, False)  # not for the programs that mail is delivered to
    config = config_.load(locate.find_config(argv[1] or None), spool=argv[2] or None)
    logs.to_syslog(config)
    first = True
    while True:
        tried = service.run(service.once(config, lambda runner: runner.once(Select()), quiet=True))
        fcntl.flock(fd, fcntl.LOCK_UN)
        store = open_store(config.queue.spool, now=time.time(), create=False)
        try:
            now = time.time()
            due = store.next_due(now)
        finally:
            store.close()
        if due is None or due > now or not (tried or first) or not _locked(fd):
            return 0
        first = False


if __name__ == "__main__":
    from mether.programs import errors

    sys.exit(errors.run("sendmail", main, sys.argv[1:]))
