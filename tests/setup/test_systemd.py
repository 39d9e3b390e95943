"""What a service manager is told, seen by the socket that it listens on."""

import os
import socket

import pytest

from mether.setup import systemd


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    """A manager's socket, and its name as the environment has it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@mether-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1))
        sock.setblocking(False)
        yield sock, name


def test_a_life(manager):
    sock, name = manager
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7", "HOME": "/"}
    notifier = systemd.taken(environ, pid=7)
    assert environ == {"HOME": "/"}, "a program that is started speaks for us"
    assert notifier.watchdog == 20.0
    notifier.ready("listening on 127.0.0.1:25")
    notifier.reloading()
    notifier.alive()
    notifier.stopping("two\nlines")
    told = [sock.recv(4096).decode().split("\n") for _ in range(4)]
    assert told[0] == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=listening on 127.0.0.1:25"]
    assert told[1][0] == "RELOADING=1"
    key, _, value = told[1][1].partition("=")
    assert key == "MONOTONIC_USEC" and int(value) > 0
    assert told[2:] == [["WATCHDOG=1"], ["STOPPING=1", "STATUS=two lines"]]


def test_without_a_manager_nothing_is_told(manager):
    sock, _ = manager
    for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"WATCHDOG_USEC": "5"}):
        notifier = systemd.taken(dict(environ))
        notifier.ready("works")
        assert notifier.watchdog == 0
    with pytest.raises(BlockingIOError):
        sock.recv(10)


def test_signs_of_life_that_another_process_owes_are_not_ours(manager):
    environ = {"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}
    assert systemd.taken(environ, pid=7).watchdog == 0


def test_a_manager_that_is_gone_is_no_fault(tmp_path):
    systemd.Notifier(str(tmp_path / "none")).ready("works")
    systemd.Notifier("/" + "x" * 200).ready("works")
