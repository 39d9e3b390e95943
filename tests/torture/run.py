"""The torture: messages through random faults, and nothing lost.  `make torture`, or run.py --help

Several processes work one queue under a load (generator.py) towards next hops of which some misbehave
(sink.py), while at random moments processes are killed, stopped and continued, told to end or to read their
configuration again, the disk fails to write and to sync, and the clock jumps (faults.c).  At the end the
faults are over, the queue is worked until it is empty, and what must hold is held against what was sent,
answered and delivered (verdict.py).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import faults  # noqa: E402
import verdict  # noqa: E402
from sink import DOMAINS, SENDERS  # noqa: E402

from mether.queue.open import open_store  # noqa: E402
from mether.queue.store import Filter, StoreError  # noqa: E402

BIN = Path(sys.executable).parent
TOPOLOGIES = {
    "single": (("smtpd",),),
    "workers": (("smtpd", "--workers", "2"),),
    "split": (("smtpd", "--no-runner"), ("runsmtpq", "--daemon")),
    "all": (("smtpd", "--workers", "2"), ("runsmtpq", "--daemon")),
}
CONFIG = """\
[service]
hostname = "mx.torture.test"
[queue]
spool = "{kind}:spool"
[[listen]]
address = "127.0.0.1:{port}"
[tls]
send = "none"
[retry]
intervals = ["1s", "2s", "4s"]
jitter = 0.5
[log]
format = "json"
"""
ROUTE = """\
[[route]]
domains = ["{domain}"]
smtp = "{address}:{port}"
"""
DRAIN = 600.0
"""Seconds in which the queue must become empty when all faults are over."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One program of the service, started again whenever it ends."""

    def __init__(self, torture: Torture, number: int, command: tuple[str, ...]) -> None:
        self.torture = torture
        self.command = [str(BIN / command[0]), *command[1:], "-C", str(torture.config)]
        self.log = torture.place / f"{number}.log"
        self.ends: Counter[int] = Counter()
        self.popen: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=os.environ | self.torture.environment,
                cwd=self.torture.place,
                start_new_session=True,
            )

    def tend(self) -> None:
        """Start it again when it has ended."""
        assert self.popen is not None
        status = self.popen.poll()
        if status is not None:
            self.ends[status] += 1
            self.start()

    def pids(self) -> list[int]:
        """Its process, and the workers of that."""
        assert self.popen is not None
        pid = self.popen.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            children = []
        return [pid, *map(int, children)]

    def end(self) -> int:
        """Stop it in good order; its status."""
        assert self.popen is not None
        self.popen.terminate()
        try:
            return self.popen.wait(90)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def kill(self) -> None:
        for pid in self.pids():
            _signal(pid, signal.SIGKILL)
        assert self.popen is not None
        self.popen.wait()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Torture:
    """One run; `report` says what came of it, `problems` what did not hold."""

    def __init__(self, options: argparse.Namespace, place: Path) -> None:
        self.options = options
        self.place = place
        self.chance = random.Random(options.seed)
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self.environment: dict[str, str] = {}
        self.orders: faults.Orders | None = None
        library = faults.build(place)
        if library is not None:
            self.orders = faults.Orders(place / "orders", library)
            self.environment = self.orders.environment
        else:
            print("there is no C compiler: neither the disk nor the clock is tortured", flush=True)
        self.sink_ledger, self.ledger = place / "sink.ledger", place / "generator.ledger"
        self.sink = subprocess.Popen(
            [sys.executable, HERE / "sink.py", self.sink_ledger], stdout=subprocess.PIPE
        )
        assert self.sink.stdout is not None
        sink_port = int(self.sink.stdout.readline())
        self.port = free_port()
        self.config = place / "mether.toml"
        hops = {**DOMAINS, SENDERS: "sender.test"}
        self.config.write_text(
            CONFIG.format(kind=options.store, port=self.port)
            + "".join(
                ROUTE.format(domain=domain, address=address, port=sink_port)
                for address, domain in hops.items()
            )
        )
        self.processes = [
            Process(self, number, command) for number, command in enumerate(TOPOLOGIES[options.topology])
        ]

    def run(self) -> None:
        """Do all of it."""
        started = time.monotonic()
        generator = subprocess.Popen(
            [
                *(sys.executable, HERE / "generator.py", self.ledger),
                *(str(self.port), str(self.options.messages), str(self.options.seed)),
            ]
        )
        try:
            stuck = time.monotonic() + self.options.seconds
            while generator.poll() is None:
                if time.monotonic() > stuck:
                    self.problems.append(f"the load was not taken within {self.options.seconds} s")
                    generator.kill()
                self._wait(self.chance.uniform(0.3, self.options.pause), generator)
                if generator.poll() is None:
                    self._fault(generator)
            self.loaded = time.monotonic() - started
            self._drain()
        finally:
            generator.kill()
            for process in self.processes:
                process.kill()
            self.sink.terminate()
            self.sink.wait()
        self.seconds = time.monotonic() - started

    def _wait(self, seconds: float, generator: subprocess.Popen[bytes] | None = None) -> None:
        """Let it work, and start what has ended."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for process in self.processes:
                process.tend()
            if generator is None:
                time.sleep(min(0.1, left))
                continue
            try:
                generator.wait(min(0.1, left))
                return
            except subprocess.TimeoutExpired:
                continue

    def _fault(self, generator: subprocess.Popen[bytes]) -> None:
        """One fault, and its end."""
        chance = self.chance
        process = chance.choice(self.processes)
        pid = chance.choice(process.pids())
        kinds = ["kill"] * 4 + ["stop", "stop", "end", "reload"]
        if self.orders is not None:
            kinds += ["sync", "full", "broken", "short", "disk", "clock", "clock"]
        if self.options.long_stops:
            kinds.append("long stop")
        kind = chance.choice(kinds)
        self.done[kind] += 1
        if kind == "kill":
            _signal(pid, signal.SIGKILL)
        elif kind == "end":
            _signal(pid, signal.SIGTERM)
        elif kind == "reload":
            _signal(process.pids()[0], signal.SIGHUP)
        elif kind in ("stop", "long stop"):
            _signal(pid, signal.SIGSTOP)
            self._wait(75.0 if kind == "long stop" else chance.uniform(0.2, 4), generator)
            _signal(pid, signal.SIGCONT)
        elif self.orders is not None:
            permille = chance.choice([20, 200, 1000])
            orders = {
                "sync": {"sync_fails": permille},
                "full": {"full": permille},
                "broken": {"broken": permille},
                "short": {"shortened": permille},
                "disk": {"sync_fails": 30, "full": 30, "broken": 30, "shortened": 100},
                "clock": {"clock": chance.choice([-86400, -3600, -5, 5, 60, 3600, 86400])},
            }[kind]
            self.orders.give(**orders)
            self._wait(chance.uniform(0.3, 3), generator)
            self.orders.give()

    def _drain(self) -> None:
        """Work the queue until it is empty, and end."""
        if self.orders is not None:
            self.orders.give()
        until = time.monotonic() + DRAIN
        self.held = 0
        left = -1
        while time.monotonic() < until:
            self._wait(1)
            try:
                store = open_store(f"{self.options.store}:{self.place}/spool", now=time.time(), create=False)
            except StoreError:
                continue
            try:
                self.held += store.change(Filter(status="held"), "release", now=time.time())
                store.change(Filter(), "retry", now=time.time())
                store.wake()
                left = store.count(1_000_000)
            except StoreError as error:
                print(f"while draining: {error}", flush=True)
            finally:
                store.close()
            if left == 0:
                break
        else:
            self.problems.append(f"{left} messages were still queued {DRAIN:.0f} s after the last fault")
        for process in self.processes:
            status = process.end()
            if status != 0:
                self.problems.append(f"{' '.join(process.command)}: ended with {status}")
        store = open_store(f"{self.options.store}:{self.place}/spool", now=time.time(), create=False)
        try:
            self.problems += [f"check: {line}" for line in store.check()]
        finally:
            store.close()

    def judge(self) -> str:
        """Hold what happened against the promises; a summary."""
        ledger = verdict.Ledger([self.ledger, self.sink_ledger])
        found, log = verdict.violations(ledger, [process.log for process in self.processes])
        self.problems += found
        twice = sum(count > 1 for count in ledger.delivered.values())
        ends = Counter[int]()
        for process in self.processes:
            ends += process.ends
        told = self.options
        lost = ledger.answered - ledger.delivered.keys() - ledger.reports.keys()
        faults_done = ", ".join(f"{kind} {count}" for kind, count in sorted(self.done.items()))
        events = ", ".join(f"{name} {count}" for name, count in sorted(log.events.items()))
        return "\n".join(
            [
                f"{told.messages} messages accepted in {self.loaded:.0f} s, all done in {self.seconds:.0f} s "
                f"(topology {told.topology}, {told.store}, seed {told.seed})",
                f"recipients {len(ledger.answered)}, delivered {len(ledger.delivered)}, returned "
                f"{len(ledger.reports)}, lost {len(lost)}",
                f"delivered twice, being in flight at a fault: {twice}",
                f"faults: {sum(self.done.values())} ({faults_done})",
                f"disk calls that failed: {self.orders.struck if self.orders else 0}; ends of processes: "
                f"{dict(ends)}; held after three strikes, and released: {self.held}",
                f"log: {events}",
                *(f"VIOLATED: {problem}" for problem in self.problems),
            ]
        )


def main() -> int:
    """Run it; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000, help="how many must be accepted")
    parser.add_argument("--seconds", type=float, default=3 * 3600, help="how long that may take")
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two faults at most")
    parser.add_argument("--topology", choices=TOPOLOGIES, default="all")
    parser.add_argument("--store", choices=("sqlite", "directory"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument(
        "--long-stops", action="store_true", help="also stop owners until their claims are taken"
    )
    parser.add_argument("--keep", action="store_true", help="keep the spool, the logs and the ledgers")
    parser.add_argument("--place", type=Path, help="where to make them (default: a temporary directory)")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="torture-", dir=options.place))
    torture = Torture(options, place)
    torture.run()
    print(torture.judge(), flush=True)
    if torture.problems or options.keep:
        print(f"kept: {place}")
    else:
        shutil.rmtree(place)
    return 1 if torture.problems else 0


if __name__ == "__main__":
    sys.exit(main())
