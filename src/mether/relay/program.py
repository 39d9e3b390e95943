"""One run of a program that takes a message on its standard input.

It leads a process group of its own, which is killed when the time limit ends.  `run` blocks and never raises.
The exit status is read as sysexits(3), the way other mail systems do: 0 delivered; 75 and 71, and no others,
a signal, the time limit and a program that cannot be started are temporary (451 4.3.0); 67 is 550 5.1.1, 68
550 5.1.2, 65 554 5.6.0, and the rest 554 5.3.0 or its nearest kin.  The end of what the program printed, on
standard error or else on standard output, goes into the reply, without control characters.
"""

from __future__ import annotations

import os
import signal
import time

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
    from typing import Final

MAX_QUOTED: Final = 300
"""Characters of what the program printed that go into the reply."""
DYING: Final = 5.0
"""Seconds that are waited for the end of a program that was killed."""
_TAIL: Final = 4096
_LAST: Final = 16
"""Times 64 KiB: what is still read after the program's end."""

DELIVERED: Final = Reply(250, "2.0.0", "delivered to the program")

_EXITS: Final = {
    65: (554, "5.6.0"),
    67: (550, "5.1.1"),
    68: (550, "5.1.2"),
    71: (451, "4.3.0"),
    73: (554, "5.2.0"),
    75: (451, "4.3.0"),
    76: (554, "5.5.0"),
    77: (554, "5.7.0"),
    78: (554, "5.3.5"),
}


def run(
    arguments: Sequence[str],
    environment: dict[str, str],
    pieces: Iterator[bytes],
    limit: float,
) -> Reply:
    """Run one program with `pieces` on its standard input, for at most `limit` seconds."""
    import subprocess  # slow to load, and not for whoever looks at a configuration alone

    name = os.path.basename(arguments[0])
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            umask=0o077,
            bufsize=0,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Reply(451, "4.3.0", f"cannot run {name}: {getattr(error, 'strerror', None) or error}")
    try:
        tail, in_time = _converse(process, pieces, time.monotonic() + limit)
    except OSError as error:  # the content could not be read: half a message must not count as one
        _kill(process)
        return unread(error)
    finally:
        for file in (process.stdin, process.stdout, process.stderr):
            if file is not None:
                file.close()
    if not in_time:
        return Reply(451, "4.3.0", f"{name} did not finish within {limit:g} seconds")
    return exit_reply(name, process.returncode, tail)


def exit_reply(name: str, status: int, tail: bytes) -> Reply:
    """The reply for an exit status (negative: the signal that ended it) and the end of the output."""
    if status == 0:
        return DELIVERED
    said = "".join(char if char.isprintable() else " " for char in tail.decode("utf-8", "replace"))
    said = " ".join(said.split())[-MAX_QUOTED:].strip()
    if status < 0:
        code, enhanced, what = 451, "4.3.0", f"was ended by signal {-status}"
    else:
        code, enhanced = _EXITS.get(status, (554, "5.3.0"))
        what = f"exited with status {status}"
    return Reply(code, enhanced, f"{name} {what}" + (f": {said}" if said else ""))


def _converse(
    process: subprocess.Popen[bytes], pieces: Iterator[bytes], deadline: float
) -> tuple[bytes, bool]:
    """Feed and drain the program until it has ended; its last output, and whether that was in time.

    What the program's own children still hold open is not waited for.  A program that stops reading
    before the end has its reasons: its exit status decides.  Raises OSError from `pieces`, no other.
    """
    import selectors

    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    stdin = process.stdin.fileno()
    tails = {process.stderr.fileno(): b"", process.stdout.fileno(): b""}
    for fd in (stdin, *tails):
        os.set_blocking(fd, False)
    piece = memoryview(b"")
    fed = False
    try:
        ended = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        ended = -1  # no such thing here: look every tenth of a second instead
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            for fd in tails:
                selector.register(fd, selectors.EVENT_READ)
            if ended >= 0:
                selector.register(ended, selectors.EVENT_READ)
            while process.poll() is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    _kill(process)
                    return _said(tails), False
                for key, _ in selector.select(left if ended >= 0 else min(left, 0.1)):
                    if key.fd in tails:
                        output = _read(key.fd)
                        if output == b"":
                            selector.unregister(key.fd)
                        elif output:
                            tails[key.fd] = (tails[key.fd] + output)[-_TAIL:]
                    elif key.fd == stdin:
                        if not piece:
                            following = next(pieces, None)
                            fed = following is None
                            piece = memoryview(following or b"")
                        try:
                            piece = piece[os.write(stdin, piece) :] if piece else piece
                        except BlockingIOError:
                            pass
                        except OSError:
                            fed = True
                        if fed:
                            selector.unregister(stdin)
                            process.stdin.close()
        for fd in tails:
            # What is there now; a child left behind could print for ever.
            for _ in range(_LAST):
                output = _read(fd)
                if not output:
                    break
                tails[fd] = (tails[fd] + output)[-_TAIL:]
    finally:
        if ended >= 0:
            os.close(ended)
    return _said(tails), True


def _said(tails: dict[int, bytes]) -> bytes:
    """What it said on standard error, else on standard output."""
    return next((tail for tail in tails.values() if tail.strip()), b"")


def _read(fd: int) -> bytes | None:
    """What is there: ``b""`` at the end, None when there is nothing yet."""
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    from subprocess import TimeoutExpired

    try:
        process.wait(DYING)
    except TimeoutExpired:
        pass  # such as sudo: it is root's, and not ours to kill; it is reaped when it has ended


def unread(error: OSError) -> Reply:
    """The reply where the message itself cannot be read."""
    return Reply(451, "4.3.0", f"cannot read the message: {error.strerror or error}")
