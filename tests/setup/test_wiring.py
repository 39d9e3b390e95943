"""What a configuration says is what the working parts do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from clock import running, virtual
from mail import address, draft

from mether.event import mail as event
from mether.queue import ident
from mether.queue.memory import MemoryStore
from mether.queue.store import Committed, Filter
from mether.receive.budget import Budget
from mether.receive.offer import Who
from mether.relay.health import Health
from mether.routing.request import Request
from mether.routing.router import Router
from mether.setup import config as config_
from mether.setup import reporting, wiring
from mether.setup.config import Config
from mether.testing.dns import Server, Zone

TEXT = """\
[service]
hostname = "mx.example.com"
postmaster = "root@example.com"
undeliverable_reports = "drop"
[[listen]]
address = "127.0.0.1:2525"
relay_from = ["192.0.2.0/24"]
max_size = "1MiB"
max_recipients = 7
max_commands = 70
max_errors = 3
[[listen]]
address = ":2526"
[[route]]
domains = ["example.com"]
maildir = "mail/{user}"
[retry]
intervals = ["10s", "1m"]
jitter = 0.5
expire = "2d"
warn = ["1h", "1d"]
[dns]
servers = ["127.0.0.1:1"]
hosts = false
"""


def request(text: str) -> Request:
    return Request(address(text))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "mether.toml"
    file.write_text(TEXT)
    return config_.load(str(file))


def test_the_retry_schedule(config: Config) -> None:
    retry = wiring.retry(config)
    assert (retry.intervals, retry.jitter, retry.lifetime) == ((10.0, 60.0), 0.5, 2 * 86400.0)
    assert retry.warn == (3600.0, 86400.0)


def test_the_reception(config: Config) -> None:
    store = MemoryStore(now=0.0)
    reception = wiring.reception(
        config,
        config.listen[0],
        config.router(),
        Budget(1),
        stage=store.stage,
        commit=lambda draft, done: None,
    )
    limits = reception.limits
    assert (limits.size, limits.recipients, limits.commands, limits.errors) == (1 << 20, 7, 70, 3)
    assert "192.0.2.9" in reception.relay_from
    assert "127.0.0.1" not in reception.relay_from
    assert (reception.lifetime, reception.warn) == (2 * 86400.0, (3600.0, 86400.0))
    lines = reception.offers.lines(Who(), 0.0)
    assert f"SIZE {1 << 20}" in lines
    assert "STARTTLS" not in lines, "there is none to be had"


def test_an_id_is_made_of_the_time() -> None:
    now = time.time()
    made = [wiring.new_id(now + second) for second in range(5)]
    assert made == sorted(made)
    assert all(ident.decode(one) for one in made)


def test_a_queue_at_work_delivers_and_closes(config: Config, tmp_path: Path) -> None:
    """A writer, a runner and its transports, put together and taken down."""
    store = MemoryStore(now=0.0)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        working = wiring.working(config, store, config.router(), loop)
        delivered = asyncio.Event()
        router = config.router()
        one = draft(
            "bob@example.com", routes=router.route(Request(address("bob@example.com"))), at=time.time()
        )
        one.message.expires = time.time() + 100
        one.claim = working.runner.admit(one)
        assert one.claim

        def answered(answer: Committed) -> None:
            assert answer.error is None
            working.runner.committed(one, answer)
            delivered.set()

        working.queue.commit(one, answered)
        await delivered.wait()
        await working.close()

    asyncio.run(work())
    assert not store.entries(Filter())
    (file,) = (tmp_path / "mail" / "bob" / "new").iterdir()
    assert file.read_bytes().startswith(b"Return-Path: <sender@example.com>\n")


def test_a_queue_at_work_goes_by_a_newer_configuration(config: Config, tmp_path: Path) -> None:
    """What was in hand is delivered as it was begun, what comes then where the new one says."""
    text = TEXT.replace("mail/{user}", "other/{user}") + "[queue]\nwindow = 70\n[reports]\nhourly = 7\n"
    (tmp_path / "mether.toml").write_text(text)
    newer = config_.load(str(tmp_path / "mether.toml"))
    store = MemoryStore(now=0.0)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        working = wiring.working(config, store, config.router(), loop)

        async def take(router: Router) -> None:
            one = draft(
                "bob@example.com", routes=router.route(Request(address("bob@example.com"))), at=time.time()
            )
            one.message.expires = time.time() + 100
            one.claim = working.runner.admit(one)
            taken = asyncio.Event()

            def answered(answer: Committed) -> None:
                working.runner.committed(one, answer)
                taken.set()

            working.queue.commit(one, answered)
            await taken.wait()

        await take(config.router())
        router = newer.router()
        pool = wiring.pool(newer, router, working.runner, loop, working.health)
        reporter = reporting.reporter(newer, router, working.pace)
        assert working.pace is not None and working.pace.hourly == 100, "it may still be refused elsewhere"
        working.adopt(newer, router, pool, reporter)
        await take(router)
        assert working.runner.window.messages == 70
        assert working.pace.hourly == 7
        await working.close()

    asyncio.run(work())
    assert not store.entries(Filter())
    for directory in ("mail", "other"):
        (file,) = (tmp_path / directory / "bob" / "new").iterdir()
        assert file.read_bytes().startswith(b"Return-Path: <sender@example.com>\n")


class Stalled:
    """A runner or pool whose end never comes, with one claim in hand."""

    in_hand = frozenset({7})
    broken_off = False

    def break_off(self) -> None:
        """Even then not."""
        self.broken_off = True

    def stop(self) -> None:
        """Nothing to tell it."""

    leave_off = stop

    async def forever(self) -> None:
        await asyncio.Event().wait()

    close = drain = forever

    async def at_once(self) -> None:
        """Its end has come."""


class Closed:
    closed = False
    left: Collection[int] = ()

    def close(self, *, leave: Collection[int] = ()) -> None:
        self.closed, self.left = True, leave


@pytest.mark.parametrize(
    ("pool", "runner", "seconds"),
    [
        (True, False, wiring.ATTEMPTS + wiring.MOMENT),
        (False, True, wiring.SETTLEMENTS),
        (True, True, 40 + wiring.MOMENT),
    ],
)
def test_stopping_has_a_limit(pool: bool, runner: bool, seconds: float) -> None:
    """A silent peer (the pool) or a store that never settles (the runner) keeps no service from stopping."""

    @virtual
    async def stop() -> None:
        stalled = Stalled()
        if not pool:
            stalled.close = stalled.at_once  # type: ignore[method-assign]
        if not runner:
            stalled.drain = stalled.at_once  # type: ignore[method-assign]
        store, queue = Closed(), Closed()
        await wiring.Working(store, queue, stalled, stalled, Health()).close()  # type: ignore[arg-type]
        assert store.closed and queue.closed
        assert store.left == {7}, "what was in hand is given back as if it had not been tried"
        assert stalled.broken_off == pool
        assert running().time() == pytest.approx(seconds)

    stop()


@virtual
async def test_a_second_signal_waits_for_no_attempt() -> None:
    stalled, store, queue, hurry = Stalled(), Closed(), Closed(), asyncio.Event()
    running().call_later(5, hurry.set)
    await wiring.Working(store, queue, stalled, stalled, Health()).close(hurry)  # type: ignore[arg-type]
    assert store.closed and queue.closed
    assert running().time() == pytest.approx(5 + 3 * wiring.MOMENT)


def test_only_a_next_hop_of_the_configuration_is_waited_for_when_its_name_does_not_exist() -> None:
    """MX-2: a recipient's domain that does not exist fails for good."""

    async def work() -> dict[str, tuple[str, str]]:
        async with Server(Zone({})) as dns:
            text = (
                '[service]\nhostname = "mx.test"\n[queue]\nspool = "memory:"\n'
                f'[dns]\nservers = ["127.0.0.1:{dns.port}"]\nhosts = false\n'
                '[[route]]\ndomains = ["a.test"]\nsmtp = "[hub.test]"\n'
                '[[route]]\nname = "out"\ndomains = ["c.test"]\nmx = true\n'
            )
            config = config_.loads(text, environ={})
            router = config.router()
            loop = asyncio.get_running_loop()
            working = wiring.working(config, MemoryStore(now=0.0), router, loop)
            found: dict[str, tuple[str, str]] = {}
            told = asyncio.Event()

            def sink(name: str, fields: Mapping[str, Any]) -> None:
                if name in ("delayed", "failed"):
                    found[str(fields["recipient"])] = (name, fields["status"])
                    told.set()
                elif name == "warning":
                    found["warning"] = (name, fields["what"])

            event.sinks.append(sink)
            try:
                for name in ("ann@a.test", "ann@b.test", "ann@c.test"):
                    told.clear()
                    one = draft(name, routes=router.route(request(name)), at=time.time())
                    one.message.expires = time.time() + 100
                    one.claim = working.runner.admit(one)
                    working.queue.commit(one, lambda answer, one=one: working.runner.committed(one, answer))
                    await told.wait()
                await working.close()
            finally:
                event.sinks.remove(sink)
            return found

    found = asyncio.run(work())
    assert found.pop("warning")[1].startswith("next hop [hub.test]: 550 5.1.2 the host hub.test does not")
    assert found == {
        "ann@a.test": ("delayed", "4.4.4"),
        "ann@b.test": ("failed", "5.1.2"),
        "ann@c.test": ("failed", "5.1.2"),
    }
