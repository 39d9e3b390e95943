"""However a program ends, it says so in one line and with the right status."""

import errno
import os
import subprocess
import sys

import pytest

from mether.address import AddressError, parse
from mether.programs import errors
from mether.programs.options import Say, UsageError
from mether.queue.store import Damaged, NoSpace, StoreError


def ending(error):
    def work(argv):
        raise error

    return errors.run("smtpq", work, [])


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (UsageError("no ID"), 64, "smtpq: no ID; try smtpq --help\n"),
        (AddressError("no @ and domain"), 64, "smtpq: no @ and domain\n"),
        (errors.Failure(67, "no such message"), 67, "smtpq: no such message\n"),
        (StoreError("the queue is locked"), 75, "smtpq: the queue is locked\n"),
        (NoSpace("disk full"), 75, "smtpq: disk full\n"),
        (Damaged("row 3"), 75, "smtpq: row 3; mether fsck --repair saves what can be saved\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 77, "smtpq: /x: Permission denied\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), 66, "smtpq: /x: No such file\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 75, "smtpq: No space left on device\n"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 73, "smtpq: /x: Read-only file system\n"),
        (OSError(errno.EMFILE, "Too many open files"), 71, "smtpq: Too many open files\n"),
        (OSError(errno.EIO, "Input/output error"), 74, "smtpq: Input/output error\n"),
        (MemoryError(), 71, "smtpq: out of memory\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            ZeroDivisionError("division by zero"),
            70,
            "smtpq: internal error: ZeroDivisionError: division by zero "
            "(set METHER_DEBUG=1 for the traceback)\n",
        ),
        (
            UnicodeEncodeError("utf-8", "a\udcff@b.test", 1, 2, "surrogates not allowed"),
            64,
            "smtpq: a\\udcff@b.test cannot be written in utf-8\n",
        ),
        (errors.Failure(65, "bad\nline\x1b[2J"), 65, "smtpq: bad line?[2J\n"),
    ],
)
def test_what_is_raised_becomes_a_line_and_a_status(error, status, text, capsys, monkeypatch):
    monkeypatch.delenv("NOSYSEXITS", raising=False)
    monkeypatch.delenv("METHER_DEBUG", raising=False)
    assert ending(error) == status
    assert capsys.readouterr().err == text


def test_without_sysexits_every_failure_is_one(monkeypatch, capsys):
    def work(argv):
        parse("not an address")

    assert errors.run("smtp", work, ["--no-sysexits", "x"]) == 1
    assert errors.run("smtp", work, ["--", "--no-sysexits"]) == 64
    monkeypatch.setenv("NOSYSEXITS", "1")
    assert errors.run("smtp", work, []) == 1
    assert errors.run("smtp", lambda argv: 75, []) == 1
    assert errors.run("smtp", lambda argv: 0, []) == 0


def test_debug_shows_the_traceback_of_an_internal_error(monkeypatch, capsys):
    monkeypatch.setenv("METHER_DEBUG", "1")
    assert ending(ZeroDivisionError("x")) == 70
    assert "Traceback" in capsys.readouterr().err


def test_help_is_printed_and_is_no_failure(capsys):
    assert ending(Say("usage: smtpq\n")) == 0
    assert capsys.readouterr().out == "usage: smtpq\n"


LISTING = """
import sys
from mether.programs.errors import run
def work(argv):
    for number in range(100000):
        print("message", number)
sys.exit(run("smtpq", work))
"""


def test_a_reader_that_went_away_is_no_noise():
    with subprocess.Popen(
        [sys.executable, "-c", LISTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", LISTING], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 75
    assert done.stderr == "smtpq: No space left on device\n"


def test_a_pipe_of_ours_that_broke_is_a_failure_that_is_told(capfd):
    assert ending(BrokenPipeError(errno.EPIPE, "Broken pipe")) == 74
    assert capfd.readouterr().err == "smtpq: Broken pipe\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_descriptors_that_the_caller_closed_are_no_fault_and_no_files(closed):
    code = (
        "import os, sys\nfrom mether.programs.errors import run\n"
        "def work(argv):\n    print('x')\n    assert os.open('/', os.O_RDONLY) > 2\n    return 75\n"
        "sys.exit(run('smtpq', work))"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (75, b"")


def test_no_message_is_not_taken_for_an_empty_one():
    code = (
        "import os, sys\nfrom mether.programs.errors import run\n"
        "sys.exit(run('smtp', lambda argv: len(os.read(0, 1))))"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (74, b"smtp: Bad file descriptor\n")


def test_what_the_encoding_of_stdout_lacks_is_shown_escaped():
    code = (
        "import sys\nfrom mether.programs.errors import run\n"
        "sys.exit(run('smtpq', lambda argv: print('\\xe4@b.test')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\xe4@b.test\n", b"")


def test_a_verdict_is_no_failure_and_keeps_its_status(capsys, monkeypatch):
    monkeypatch.setenv("NOSYSEXITS", "1")

    def work(argv):
        raise errors.Verdict(2, "CRITICAL\n")

    assert errors.run("smtpq", work, ["--no-sysexits"]) == 2
    assert capsys.readouterr() == ("CRITICAL\n", "")
