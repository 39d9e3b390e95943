"""Whether another program works the queue that is to be read."""

from __future__ import annotations

import fcntl
import os

from mether.importing.running import running


def process(processes, pid, name, **links):
    place = processes / str(pid)
    place.mkdir(parents=True)
    (place / "comm").write_text(f"{name}\n")
    for link, target in links.items():
        (place / link).symlink_to(target)


def test_nobody_runs(tmp_path):
    assert running("postfix", str(tmp_path)) is None


def test_a_process_of_that_name_in_the_queue(tmp_path):
    queue, processes = tmp_path / "queue", tmp_path / "proc"
    queue.mkdir()
    process(processes, 7, "bash", cwd=queue)
    process(processes, 8, "qmgr", cwd="/elsewhere", root="/")
    assert running("postfix", str(queue), str(processes)) is None, (
        "a person's shell is nobody's queue manager"
    )
    process(processes, 9, "qmgr", cwd=f"{queue}")
    assert running("postfix", str(queue), str(processes)) == f"process 9 (qmgr) works in {queue}"
    assert running("dma", str(queue), str(processes)) is None
    process(processes, 10, "smtpd", cwd="/", root=queue)
    assert "process 10" in str(running("opensmtpd", str(queue), str(processes)))


def test_a_pid_file(tmp_path):
    processes = tmp_path / "proc"
    process(processes, 77, "exim4")
    (tmp_path / "exim-daemon.pid").write_text("77\n")
    assert running("exim", str(tmp_path), str(processes)) == "process 77 has exim-daemon.pid"
    (tmp_path / "exim-daemon.pid").write_text("78\n")
    assert running("exim", str(tmp_path), str(processes)) is None, "it was left by one that is gone"


def test_a_locked_pid_file(tmp_path):
    (tmp_path / "pid").mkdir()
    path = tmp_path / "pid" / "master.pid"
    path.write_text(" nonsense")
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert running("postfix", str(tmp_path), str(tmp_path / "none")) == "pid/master.pid is locked"
    os.close(fd)
    assert running("postfix", str(tmp_path), str(tmp_path / "none")) is None
