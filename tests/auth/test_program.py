"""A program asked about logins: both conventions, each status, and what it sees of us."""

import os
import sys

import pytest

from mether.auth.program import Program
from mether.smtp.sasl import ACCEPTED, DISABLED, REJECTED, TEMPORARY, CheckPassword, CheckToken, FindKeys

ANN = CheckPassword("ann", "pass word")


@pytest.fixture
def said():
    return []


@pytest.fixture
def program(tmp_path, said):
    def make(code, **named):
        script = tmp_path / "check"
        script.write_text(f"#!{sys.executable}\nimport os, sys\n{code}\n")
        script.chmod(0o755)
        return Program([str(script), *named.pop("more", [])], complain=said.append, **named)

    return make


def test_lines(program, said):
    check = program("said = sys.stdin.read()\nsys.exit(0 if said == 'ann\\npass word\\n' else 1)")
    assert check.check(ANN) is ACCEPTED
    assert check.check(CheckPassword("ann", "password")) is REJECTED
    assert said == []


def test_checkpassword(program, said):
    """login NUL password NUL timestamp NUL on descriptor 3, and then it runs what follows."""
    check = program(
        "said = os.read(3, 512)\nassert sys.stdin.read() == ''\n"
        "sys.exit(1) if said != b'ann\\0pass word\\0\\0' else os.execvp(sys.argv[1], sys.argv[1:])",
        convention="checkpassword",
        more=["sh", "-c", "echo ignored; exit 0"],
    )
    assert check.check(ANN) is ACCEPTED
    assert check.check(CheckPassword("ann", "no")) is REJECTED
    assert said == []


def test_a_token_verifier_may_print_the_login(program):
    check = program(
        "login, token = sys.stdin.read().splitlines()\nprint(login or 'ann@x.test')\n"
        "sys.exit(token != 'tok' or os.environ['AUTH_KIND'] != 'token')",
        tokens=True,
        passwords=False,
    )
    assert check.check(CheckToken("", "tok")).login == "ann@x.test"
    assert check.check(CheckToken("bob", "tok")).login == "bob"
    assert check.check(CheckToken("bob", "other")) is REJECTED
    assert check.check(ANN) is REJECTED  # it is not asked about passwords
    assert check.check(FindKeys("ann")) is REJECTED


@pytest.mark.parametrize(
    ("status", "answer"),
    [(0, ACCEPTED), (1, REJECTED), (2, REJECTED), (75, TEMPORARY), (111, TEMPORARY), (77, DISABLED)],
)
def test_each_status(program, said, status, answer):
    assert program(f"sys.exit({status})").check(ANN) is answer
    assert bool(said) is (answer is TEMPORARY)


def test_misuse_of_checkpassword_is_temporary(program):
    assert program("sys.exit(2)", convention="checkpassword").check(ANN) is TEMPORARY


def test_a_signal_is_temporary(program, said):
    assert program("os.kill(os.getpid(), 9)").check(ANN) is TEMPORARY
    assert said == ["check was ended by signal 9"]


def test_the_time_limit_ends_it_and_its_children(program, said, tmp_path):
    check = program(
        "import subprocess, time\nsubprocess.Popen(['sleep', '100'])\ntime.sleep(100)",
        limit=0.3,
    )
    assert check.check(ANN) is TEMPORARY
    assert said == ["check did not finish within 0.3 seconds"]


def test_a_child_that_stays_is_not_waited_for(program):
    check = program("import subprocess\nsubprocess.Popen(['sleep', '3'])")
    assert check.check(ANN) is ACCEPTED


def test_what_cannot_be_started(said, tmp_path):
    assert Program(["/no/such"], complain=said.append).check(ANN) is TEMPORARY
    plain = tmp_path / "plain"
    plain.write_text("hello")
    assert Program([str(plain)], complain=said.append).check(ANN) is TEMPORARY
    assert said[0] == "cannot run such: No such file or directory"
    assert len(said) == 2


def test_much_output_is_cut_and_what_is_no_login_is_temporary(program, said):
    assert program("print('x' * 100000)").check(ANN) is TEMPORARY
    assert said == ["check printed what is not a login"]


def test_what_it_sees_of_us(program, monkeypatch):
    """Nothing of our environment, no descriptor of ours, and no secret where others can look."""
    monkeypatch.setenv("SECRET", "x")
    check = program(
        "assert 'SECRET' not in os.environ and 'pass word' not in repr(os.environ) + repr(sys.argv)\n"
        "assert os.environ['TCPREMOTEIP'] == '192.0.2.1'\n"
        "assert os.getsid(0) == os.getpid()\n"
        "assert len(os.listdir('/proc/self/fd')) == 4  # three, and the directory itself"
    )
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(descriptor, True)  # as one that a service manager gave us
    try:
        assert check.check(ANN, "192.0.2.1") is ACCEPTED
    finally:
        os.close(descriptor)


def test_no_descriptor_is_left_open(program):
    check = program("pass")
    check.check(ANN)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        check.check(ANN)
    assert set(os.listdir("/proc/self/fd")) == before


def test_line_ends_never_reach_it(program):
    assert program("sys.exit(0)").check(CheckPassword("ann\nbob", "p")) is REJECTED


@pytest.mark.parametrize(
    "named",
    [{"argv": []}, {"argv": [""]}, {"argv": ["a\0"]}, {"argv": ["a"], "convention": "x"},
     {"argv": ["a"], "convention": "checkpassword", "tokens": True}],
)  # fmt: skip
def test_what_cannot_be_configured(named):
    with pytest.raises(ValueError, match=r"."):
        Program(complain=print, **named)
