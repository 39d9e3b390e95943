"""How a program ends: one clear line on stderr and a status of sysexits(3), never a traceback.

`run` is around every program's work.  It turns what was raised into ``program: what`` and a status:

* `UsageError`, an address that is not one: 64; an error of the configuration: 78;
* an error of the store: 75, for the queue may be there again later, unless it has a status of its own; of
  what is damaged it is said how to repair it;
* `Failure`: the status it carries; `Verdict`, which is none: its own;
* an error of the system: 77 without permission, 73 where something can't be created, 66 where something
  is not there, 75 on a full disk, 71 out of memory or descriptors, else 74;
* an argument that is not in the encoding it must be in: 64;
* an interrupt: 130; a reader of stdout that went away: quietly 141, as the shell says of SIGPIPE;
* anything else is an error in mether: 70.  ``METHER_DEBUG=1`` then shows the traceback.

With ``--no-sysexits`` or a non-empty ``$NOSYSEXITS`` (the 1986 compile-time option) every failure is 1.
"""

from __future__ import annotations

import gc
import os
import sys

from mether.programs.options import Say, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

OK: Final = 0
USAGE: Final = 64
DATAERR: Final = 65
NOINPUT: Final = 66
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
OSERR: Final = 71
CANTCREAT: Final = 73
IOERR: Final = 74
TEMPFAIL: Final = 75
PROTOCOL: Final = 76
NOPERM: Final = 77
CONFIG: Final = 78
INTERRUPTED: Final = 130
PIPE: Final = 141

REPAIR: Final = "mether fsck --repair saves what can be saved"
"""What is said beside whatever is damaged."""


class Failure(Exception):
    """The program cannot do what was asked: `status` is its exit status, str() the line."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class Verdict(Exception):
    """Not a failure: what the program was asked to judge.  str() is printed on stdout, and `status` is the
    exit status, in the terms of whoever asked, whatever ``--no-sysexits`` says."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def run(program: str, work: Callable[[list[str]], int | None], argv: list[str] | None = None) -> int:
    """Do `work` with the arguments, and return the status to exit with.

    `argv` is without the program's name; None takes the process's.  `work` returns a status, None
    meaning 0.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if argv is None:
        if sys.stdin is None or sys.stdout is None or sys.stderr is None:
            _fill_standard_descriptors()
        if sys.stdout.errors == "strict":
            # An address that this terminal's encoding does not have must not end a listing.
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    judged = False
    try:
        status = work(arguments) or 0
        sys.stdout.flush()
    except SystemExit:
        raise
    except Say as say:
        status = _print(program, str(say))
    except Verdict as verdict:
        status, judged = _print(program, str(verdict)) or verdict.status, True
    except BaseException as error:
        status = _explain(program, error)
    if argv is None:
        # The process ends here: the interpreter need not search what it is about to give up for cycles,
        # which takes a one-shot program a tenth of its time.
        gc.freeze()
    return status if judged else _exit(status, arguments)


def _fill_standard_descriptors() -> None:
    """Open what the caller closed of descriptors 0 to 2, or the next file opened would take its place.

    Reading from 0 still fails, so that a missing message is not taken for an empty one.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY)  # the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def complain(program: str, what: str) -> None:
    """Write ``program: what`` on stderr, on one line.  Never raises."""
    line = f"{program}: {what}"
    if not line.isprintable():
        line = "".join(char if char.isprintable() else " " if char in "\r\n\t" else "?" for char in line)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # nobody is left to be told


def status_of(error: BaseException) -> tuple[int, str]:
    """The exit status and the words for an error; the words are ``""`` when it is to be quiet."""
    if isinstance(error, Failure):
        return error.status, str(error)
    sysexit = getattr(error, "sysexit", None)
    if sysexit is not None:
        return int(sysexit), str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, ""
    # Looked up, not imported: what was never imported cannot have been raised.
    if _is(error, "mether.queue.store", "Damaged"):
        return TEMPFAIL, f"{error}; {REPAIR}"
    if _is(error, "mether.queue.store", "StoreError"):
        return TEMPFAIL, str(error)
    if _is(error, "mether.address", "AddressError"):
        return USAGE, str(error)
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MemoryError):
        return OSERR, "out of memory"
    if isinstance(error, UnicodeEncodeError):
        shown = error.object.encode("ascii", "backslashreplace").decode()
        return USAGE, f"{shown[:200]} cannot be written in {error.encoding}"
    words = str(error) or "no more is known"
    return SOFTWARE, f"internal error: {type(error).__name__}: {words}"


def _explain(program: str, error: BaseException) -> int:
    if isinstance(error, OSError) and _reader_gone(error):
        silence()
        return PIPE
    status, words = status_of(error)
    debug = os.environ.get("METHER_DEBUG")
    if debug and not isinstance(error, KeyboardInterrupt | UsageError | Failure):
        import traceback

        traceback.print_exception(error)
    elif status == SOFTWARE:
        words += " (set METHER_DEBUG=1 for the traceback)"
    if isinstance(error, UsageError):
        words += f"; try {program} --help"
    if words:
        complain(program, words)
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        silence()
    return status


def _print(program: str, text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        return _explain(program, error)
    return OK


def _exit(status: int, arguments: list[str]) -> int:
    if status in (OK, INTERRUPTED, PIPE):
        return status
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return 1 if "--no-sysexits" in options or os.environ.get("NOSYSEXITS") else status


def _is(error: BaseException, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))


def _system(error: OSError) -> tuple[int, str]:
    import errno

    number = error.errno
    what = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        what = f"{os.fsdecode(error.filename)}: {what}"
    if number in (errno.EACCES, errno.EPERM):
        return NOPERM, what
    if number in (errno.ENOSPC, errno.EDQUOT):
        return TEMPFAIL, what
    if number in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EROFS):
        return CANTCREAT, what
    if number == errno.ENOENT:
        return NOINPUT, what
    if number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
        return OSERR, what
    return IOERR, what


def _reader_gone(error: OSError) -> bool:
    """Whether the error is that nobody reads our stdout any more (and not some other pipe's end)."""
    return isinstance(error, BrokenPipeError) and nobody_reads()


def nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader has gone, so that what is printed now is lost.  Never raises."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


def silence() -> None:
    """Send stdout nowhere, so that the interpreter's last flush does not fail too."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass
