"""What a run cost: CPU time over all processes of a service, and what the disk could do meanwhile.

CPU time is read from /proc (Linux): for every process descended from the first, its own time and that of
the children it has waited for, so that helpers which came and went are counted.  The grain is one clock
tick (10 ms), which over thousands of messages is nothing.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time used so far by the process, all its descendants, and those of them that have ended."""
    return sum(cpu_split(pid))


def cpu_split(pid: int) -> tuple[float, float]:
    """The same as (user, system)."""
    processes = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    # The name, in parentheses, may hold anything; the fields begin behind it.
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended, and its parent now holds its time
            mine = int(fields[11]) + int(fields[13]), int(fields[12]) + int(fields[14])
            processes[int(entry)] = int(fields[1]), mine
    family = [process for process in processes if process == pid or _descends(process, pid, processes)]
    user, system = (sum(processes[process][1][i] for process in family) * TICK for i in (0, 1))
    return user, system


def memory(pid: int) -> dict[str, int]:
    """What the process holds, in octets: ``Rss``, ``Pss`` and the like, of /proc/PID/smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        rows = [line.split() for line in file][1:]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def at_rest(pid: int, patience: float = 60) -> float:
    """`cpu_seconds` once the service rests: its last queue file is removed after the sink has it."""
    deadline = time.monotonic() + patience
    last = cpu_seconds(pid)
    while True:
        time.sleep(0.25)
        now = cpu_seconds(pid)
        if now - last < 2 * TICK or time.monotonic() > deadline:
            return now
        last = now


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


def _descends(process: int, ancestor: int, processes: dict[int, tuple[int, object]]) -> bool:
    while process in processes:
        process = processes[process][0]
        if process == ancestor:
            return True
    return False
