"""Where the log goes, and that a daemon's lines are gathered without one being lost or late."""

import asyncio
import io
import json
import syslog

import pytest
from clock import virtual

from mether.event import mail as event
from mether.setup import config as config_
from mether.setup import logs


@pytest.fixture(autouse=True)
def _sinks():
    kept = list(event.sinks)
    event.sinks.clear()
    yield
    event.sinks[:] = kept


@pytest.fixture
def config(tmp_path):
    def make(log=""):
        path = tmp_path / "mether.toml"
        path.write_text(f'[service]\nhostname = "mx.example.org"\n[log]\n{log}\n')
        return config_.load(str(path), spool="memory:")

    return make


class Stream(io.StringIO):
    """A stream that counts its writes."""

    writes = 0

    def write(self, text):
        self.writes += 1
        return super().write(text)


def test_lines_of_text(config):
    stream = Stream()
    logs.to_stream(config(), stream)
    event.warning("look here")
    assert " mx.example.org mether/" in stream.getvalue()
    assert stream.getvalue().endswith("warning: look here\n")


def test_lines_of_json(config):
    stream = Stream()
    logs.to_stream(config('format = "json"'), stream)
    event.warning("look here")
    event.connected("192.0.2.1")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(records) == 2
    assert "look here" in json.dumps(records[0]) and "192.0.2.1" in json.dumps(records[1])


def test_the_level_is_kept(config):
    stream = Stream()
    logs.to_stream(config('level = "warning"'), stream)
    event.connected("192.0.2.1")
    assert stream.getvalue() == ""
    event.error("broken")
    assert "broken" in stream.getvalue()


def test_a_daemon_writes_a_turn_at_once_and_a_flood_now_and_then(config):
    stream = Stream()

    @virtual
    async def work():
        logs.to_stream(config(), stream, asyncio.get_running_loop())
        for number in range(20):
            event.connected(f"192.0.2.{number}")
        assert stream.writes == 0
        await asyncio.sleep(0)
        assert stream.writes == 1
        for _ in range(50):
            event.connected("192.0.2.99")
            await asyncio.sleep(logs.GATHER / 100)
        assert stream.writes == 1
        await asyncio.sleep(logs.GATHER)
        assert stream.writes == 2
        assert len(stream.getvalue().splitlines()) == 70
        await asyncio.sleep(logs.GATHER)
        event.connected("192.0.2.99")
        await asyncio.sleep(0)
        assert stream.writes == 3

    work()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 71
    assert [f"[192.0.2.{number}]" in line for number, line in enumerate(lines[:20])] == [True] * 20


def test_no_line_is_lost_when_the_loop_ends(config):
    stream = Stream()

    async def work():
        finish = logs.to_stream(config(), stream, asyncio.get_running_loop())
        event.connected("192.0.2.1")
        await asyncio.sleep(0)
        event.connected("192.0.2.2")
        finish()
        event.connected("192.0.2.3")

    asyncio.run(work())
    event.connected("192.0.2.4")
    assert [
        f"[192.0.2.{number}]" in line for number, line in enumerate(stream.getvalue().splitlines(), 1)
    ] == ([True] * 4)


def test_lines_of_several_processes_cannot_mix(config):
    """What is written at once fits into what a pipe takes in one piece; a longer line goes alone."""

    async def work():
        loop = asyncio.get_running_loop()
        logs.Log(config('format = "json"'), stream, loop, shared=True)
        for number in range(100):
            event.noted(f"{number} " + "x" * 200)
        event.noted("ü" * 5000)
        await asyncio.sleep(0)

    class Piece(Stream):
        def write(self, text):
            written.append(text)
            return super().write(text)

    written = []
    stream = Piece()
    asyncio.run(work())
    assert all(text.endswith("\n") for text in written)
    assert len(written) > 5
    assert all(len(text.encode()) <= logs.WHOLE for text in written[:-1])
    assert len("".join(written).splitlines()) == 101


def test_another_configuration_takes_the_place_of_the_first(config):
    stream = Stream()
    log = logs.Log(config(), stream)
    log.adopt(config('format = "json"\nlevel = "warning"'))
    event.noted("not told")
    event.warning("told")
    assert json.loads(stream.getvalue())["what"] == "told"


def test_trouble_goes_out_at_once_with_all_before_it(config):
    stream = Stream()

    async def work():
        logs.to_stream(config(), stream, asyncio.get_running_loop())
        event.connected("192.0.2.1")
        event.error("broken")
        assert stream.getvalue().count("\n") == 2
        await asyncio.sleep(0)

    asyncio.run(work())
    assert stream.getvalue().count("\n") == 2


def test_a_reader_that_is_gone_stops_nothing(config):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    async def work():
        gathered = logs.Gathered(Gone(), asyncio.get_running_loop())
        assert gathered.write("x\n") == 2
        gathered.flush()
        gathered.write_out()
        gathered.write_out()

    asyncio.run(work())


def test_syslog(config, monkeypatch):
    said = []
    monkeypatch.setattr(syslog, "openlog", lambda name, options, facility: said.append((name, facility)))
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: said.append((priority, line)))
    logs.to_syslog(config())
    event.connected("192.0.2.1")
    event.warning("look here")
    event.error("broken")
    assert said[0] == ("mether", syslog.LOG_MAIL)
    assert [priority for priority, _ in said[1:]] == [syslog.LOG_INFO, syslog.LOG_WARNING, syslog.LOG_ERR]
    assert "192.0.2.1" in said[1][1] and "look here" in said[2][1] and "broken" in said[3][1]


def test_syslog_keeps_the_level(config, monkeypatch):
    said = []
    monkeypatch.setattr(syslog, "openlog", lambda *args: None)
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: said.append(line))
    logs.to_syslog(config('level = "error"'))
    event.warning("look here")
    assert said == []


def test_a_daemon_tells_of_the_same_trouble_once_a_minute(config):
    """A full disk refuses every message: no log may grow by that."""
    stream = Stream()

    @virtual
    async def work():
        logs.to_stream(config(), stream, asyncio.get_running_loop())
        for _ in range(50):
            event.error("queue: the disk is full")
        await asyncio.sleep(61)
        event.error("queue: the disk is full")
        await asyncio.sleep(1)

    work()
    first, second = stream.getvalue().splitlines()
    assert first.endswith("the disk is full")
    assert "49 times more" in second
