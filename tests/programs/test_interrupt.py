"""A signal ends the work between two steps: it is noted, and the second one is as ever."""

import os
import signal
import subprocess
import sys

import pytest

from mether.programs.interrupt import Interrupt


def test_the_first_is_noted_and_the_second_interrupts():
    with Interrupt() as ending:
        os.kill(os.getpid(), signal.SIGINT)
        assert ending.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert ending.status() == 130


def test_what_was_before_is_there_again():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as ending:
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert ending.number is None


def test_what_is_ignored_stays_so(monkeypatch):
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_who_sends_sigterm_sees_it_die_of_that():
    program = (
        "import os\nfrom mether.programs.interrupt import Interrupt\n"
        "with Interrupt() as ending:\n    os.kill(os.getpid(), 15)\n    print('done', flush=True)\n"
        "raise SystemExit(ending.status())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ran.returncode, ran.stdout) == (-signal.SIGTERM, b"done\n")
