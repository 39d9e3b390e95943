"""``smtpd``: its arguments, and how it says that it cannot start.  The service itself is in tests/setup."""

import asyncio
import socket

import pytest

from mether.event import mail as event
from mether.programs import smtpd
from mether.setup import service


@pytest.fixture(autouse=True)
def _sinks():
    kept = list(event.sinks)
    yield
    event.sinks[:] = kept


@pytest.fixture
def served(url, monkeypatch):
    """What the service would be started with, instead of being started."""
    asked = []

    async def serve(config, *, with_runner, load, notifier, opened, helper):
        assert opened is None and helper is None, "without a user to become nothing is given up"
        asked.append(([listen.address for listen in config.listen], with_runner, config.queue.spool))
        return 0

    monkeypatch.setattr(service, "serve", serve)
    monkeypatch.setattr(service, "run", asyncio.run)
    return asked


def refused(capsys, status, *argv):
    """The one line of a start that fails."""
    assert smtpd.main(list(argv)) == status
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("smtpd: ")
    return err


@pytest.mark.parametrize(
    "argv",
    [
        ("-x",),
        ("--no-runer",),
        ("--no-runner=yes",),
        ("127.0.0.1:25",),
        ("-l",),
        ("-l", "nonsense"),
        ("-l", "127.0.0.1:65536"),
        ("-l", "127.0.0.1:2525", "-l", "127.0.0.1:x"),
        ("--workers",),
        ("--workers", "0"),
        ("--workers", "257"),
        ("--workers", "0001999"),
        ("--workers", "two"),
    ],
)
def test_wrong_arguments_are_64_and_one_line(served, capsys, argv):
    refused(capsys, 64, *argv)
    assert not served


def test_an_operand_is_told_where_it_belongs(served, capsys):
    assert "addresses to listen on go with -l" in refused(capsys, 64, "127.0.0.1:25")


@pytest.mark.parametrize(
    ("argv", "addresses"),
    [
        (("-l", "127.0.0.1:2525"), ["127.0.0.1:2525"]),
        (("-l127.0.0.1:2525",), ["127.0.0.1:2525"]),
        (("--listen=[::1]:2525", "-l", ":2526"), ["[::1]:2525", ":2526"]),
    ],
)
def test_it_listens_where_it_is_told(served, url, argv, addresses):
    assert smtpd.main(list(argv)) == 0
    assert served == [(addresses, True, url)]


def test_without_a_runner(served):
    assert smtpd.main(["--no-runner"]) == 0
    assert [with_runner for _, with_runner, _ in served] == [False]


def test_an_address_that_is_taken_is_69(url, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert address in refused(capsys, 69, "-l", address, "--no-runner")


def test_an_address_of_another_host_is_69(url, capsys):
    assert "192.0.2.1:2525" in refused(capsys, 69, "-l", "192.0.2.1:2525", "--no-runner")


@pytest.mark.parametrize("text", ["[service]\nhostnam = 'x'\n", "[service", "[[listen]]\naddress = 'x'\n"])
def test_a_configuration_that_is_none_is_78(served, capsys, tmp_path, text):
    (tmp_path / "c.toml").write_text(text)
    assert "c.toml" in refused(capsys, 78, "-C", str(tmp_path / "c.toml"))
    assert not served


def test_a_configuration_that_is_not_there_is_78(served, capsys, tmp_path):
    refused(capsys, 78, "-C", str(tmp_path / "none.toml"))


def test_several_workers_need_a_queue_that_they_can_share(tmp_path, capsys):
    """One line, and the status of whoever asked: the arguments, or the configuration."""
    spool = f"directory:{tmp_path}/spool"
    line = refused(capsys, 64, "--workers", "2", "--spool", spool)
    assert "2 workers need a sqlite: queue; a directory: one is worked by one process" in line
    (tmp_path / "c.toml").write_text("[service]\nworkers = 3\n[queue]\nspool = 'memory:'\n")
    line = refused(capsys, 78, "-C", str(tmp_path / "c.toml"))
    assert "c.toml:2: service.workers: 3 workers need a sqlite: queue; a memory: one" in line


def test_one_worker_is_no_parent(served):
    assert smtpd.main(["--workers", "1"]) == 0
    assert len(served) == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_an_address_that_is_taken_is_69_with_workers_too(url, capsys):
    """Even by a process of the same user that would share it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert address in refused(capsys, 69, "-l", address, "--workers", "2")
