"""What a run cost: CPU time over all processes of a service, and what the disk could do meanwhile.

A `Meter` has the kernel count: it puts the processes of a service into a control group (version 2) of their
own, and what they fork is born into it, so that also the time of children that came, went and were never
waited for is there; Exim's deliveries are such.  Where no group can be made it falls back on `cpu_seconds`.

`cpu_seconds` reads /proc (Linux): for every process descended from the first, its own time and that of the
children it has waited for.  The grain is one clock tick (10 ms), which over thousands of messages is nothing.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Meter:
    """The CPU time of a process and all its descendants, from now on; `close` gives the group up.

    `exact` is False where it has to go by /proc.
    """

    _made = 0

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.group: Path | None = None
        root = _control_groups()
        if root is not None:
            Meter._made += 1
            group = root / f"bench-{os.getpid()}-{Meter._made}"
            try:
                group.mkdir()
                self.group = group
                self._gather()
            except OSError:
                self.close()
        self.exact = self.group is not None
        self._began = self._read()

    def seconds(self) -> float:
        """CPU seconds since it was made."""
        return self._read() - self._began

    def at_rest(self) -> float:
        """`seconds` once the service rests."""
        return _rested(self.seconds)

    def processes(self) -> list[int]:
        """All that belong to it now."""
        if self.group is None:
            return family(self.pid)
        return [int(line) for line in (self.group / "cgroup.procs").read_text().split()]

    def memory(self) -> int:
        """The memory (PSS) of all of them now, in octets."""
        total = 0
        for process in self.processes():
            try:
                total += memory(process)["Pss"]
            except (OSError, KeyError):
                continue  # it has ended
        return total

    def high_water(self) -> int:
        """The most that each of them ever had resident (VmHWM), together, in octets."""
        total = 0
        for process in self.processes():
            try:
                status = Path(f"/proc/{process}/status").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return total * 1024

    def close(self) -> None:
        """Give the group up; processes that are left go back to the one above."""
        if self.group is None:
            return
        for process in self.processes():
            _move(process, self.group.parent)
        deadline = time.monotonic() + 5
        while True:  # one that has just ended may keep it for a moment
            try:
                self.group.rmdir()
            except OSError:
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
            break
        self.group = None

    def _gather(self) -> None:
        assert self.group is not None
        while outside := set(family(self.pid)) - set(self.processes()):
            for process in outside:
                _move(process, self.group)

    def _read(self) -> float:
        if self.group is None:
            return cpu_seconds(self.pid)
        for line in (self.group / "cpu.stat").read_text().splitlines():
            name, value = line.split()
            if name == "usage_usec":
                return int(value) / 1e6
        raise SystemExit(f"{self.group}/cpu.stat has no usage_usec")


class Peak:
    """The most memory (PSS) that the processes of a meter held together while it was entered, beside before.

    Asked every 5 ms, by a thread: what comes and goes faster may be missed.  `extra` is in octets.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.before = self.most = meter.memory()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    @property
    def extra(self) -> int:
        """How much more than before."""
        return self.most - self.before

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.done.wait(0.005):
            self.most = max(self.most, self.meter.memory())


def until_banner(port: int, patience: float = 120) -> float:
    """The time (`time.monotonic`) when something on 127.0.0.1:port has answered with a greeting."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=patience) as client:
                if client.recv(4).startswith(b"220"):
                    return time.monotonic()
        except OSError:
            pass
        time.sleep(0.001)
    raise SystemExit(f"nothing on port {port} greets in {patience:.0f} s")


def throttle(pid: int, share: float) -> Callable[[], None] | None:
    """Let the process have this share of one core at most; returns what ends that, or None where it cannot.

    By the control group's quota, a period being 10 ms.
    """
    for root, quota in ((_control_groups(), "cpu.max"), (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us")):
        if root is None:
            continue
        group = root / f"bench-{os.getpid()}-share-{pid}"
        try:
            group.mkdir()
            if quota == "cpu.max":
                (group / quota).write_text(f"{share * 10_000:.0f} 10000")
            else:
                (group / "cpu.cfs_period_us").write_text("10000")
                (group / quota).write_text(f"{share * 10_000:.0f}")
            _move(pid, group)
        except OSError:
            if group.exists():
                group.rmdir()
            continue

        def end(group: Path = group) -> None:
            for line in (group / "cgroup.procs").read_text().split():
                _move(int(line), group.parent)
            group.rmdir()

        return end
    return None


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _fields(entry)
            if fields:
                parents[int(entry)] = int(fields[1])
    return [process for process in parents if process == pid or _descends(process, pid, parents)]


def cpu_seconds(pid: int) -> float:
    """CPU time used so far by the process, all its descendants, and those of them that have ended."""
    return sum(cpu_split(pid))


def cpu_split(pid: int) -> tuple[float, float]:
    """The same as (user, system)."""
    used = [0, 0]
    for process in family(pid):
        fields = _fields(str(process))
        if fields:
            used[0] += int(fields[11]) + int(fields[13])
            used[1] += int(fields[12]) + int(fields[14])
    return used[0] * TICK, used[1] * TICK


def memory(pid: int) -> dict[str, int]:
    """What the process holds, in octets: ``Rss``, ``Pss`` and the like, of /proc/PID/smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        rows = [line.split() for line in file][1:]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def at_rest(pid: int, patience: float = 60) -> float:
    """`cpu_seconds` once the service rests: its last queue file is removed after the sink has it."""
    return _rested(lambda: cpu_seconds(pid), patience)


def sync_microseconds(directory: str, times: int = 200) -> float:
    """The median time of writing 4 KiB to the end of a file and syncing it: the yardstick of the disk."""
    took = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


def file_system(directory: str) -> str:
    """The type of the file system that holds the directory, or ``?``."""
    found, kind = "", "?"
    real = os.path.realpath(directory)
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, where, what, *_ = line.split()
            if (real == where or real.startswith(where.rstrip("/") + "/")) and len(where) >= len(found):
                found, kind = where, what
    return kind


def _rested(read: Callable[[], float], patience: float = 60) -> float:
    deadline = time.monotonic() + patience
    last = read()
    while True:
        time.sleep(0.25)
        now = read()
        if now - last < 2 * TICK or time.monotonic() > deadline:
            return now
        last = now


def _fields(process: str) -> list[str]:
    """The fields of its stat from its state on; none when it has ended."""
    try:
        with open(f"/proc/{process}/stat") as file:
            # The name, in parentheses, may hold anything; the fields begin behind it.
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []  # its parent now holds its time


def _descends(process: int, ancestor: int, parents: dict[int, int]) -> bool:
    while process in parents:
        process = parents[process]
        if process == ancestor:
            return True
    return False


def _control_groups() -> Path | None:
    """Where control groups of version 2 are mounted."""
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, where, what, *_ = line.split()
            if what == "cgroup2":
                return Path(where)
    return None


def _move(process: int, group: Path) -> None:
    """Put a process into a group; one that has ended is in none."""
    try:
        (group / "cgroup.procs").write_text(str(process))
    except ProcessLookupError:
        pass
