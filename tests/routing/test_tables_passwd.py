"""The users of this host as a table."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from mether.routing.source import TableError
from mether.routing.tables_passwd import KEEP, Passwd


class System:
    """Users that a test names, and how often they were asked for."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.asked: list[str] = []
        self.trouble: OSError | None = None
        self.now = 0.0

    def find(self, name: str) -> str:
        self.asked.append(name)
        if self.trouble is not None:
            raise self.trouble
        if name not in self.names:
            raise KeyError(name)
        return name

    def table(self) -> Passwd:
        return Passwd(self.find, clock=lambda: self.now)


def test_every_user_of_the_system_is_one_whatever_its_shell() -> None:
    users = Passwd()
    assert users.get("root") == "root" and users.get("nobody") == "nobody"
    assert users.get("root@example.org") == "root"
    assert users.get("no-such-user-here") is None
    users.check()
    asyncio.run(users.learn("root"))


@pytest.mark.parametrize("key", ["@example.org", "", "a\0b", "x" * 300])
def test_what_can_be_no_user_is_not_asked_for(key: str) -> None:
    system = System()
    assert system.table().get(key) is None
    assert system.asked == []


def test_answers_are_kept_for_some_seconds() -> None:
    system = System("ann")
    users = system.table()
    for _ in range(3):
        assert users.get("ann") == "ann" and users.get("bob") is None
    assert system.asked == ["ann", "bob"]
    system.names = {"bob"}
    system.now = KEEP
    assert users.get("ann") is None and users.get("bob") == "bob"


def test_a_system_that_cannot_tell_defers_and_is_asked_again() -> None:
    system = System("ann")
    users = system.table()
    system.trouble = OSError(24, "Too many open files")
    with pytest.raises(TableError, match="passwd: Too many open files"):
        users.get("ann")
    system.trouble = None
    assert users.get("ann") == "ann"


def test_a_process_without_descriptors_finds_that_it_cannot_tell() -> None:
    """Python's own module says that there is no such user, and mail would be refused."""
    program = (
        "import resource, os, ctypes, pwd\n"
        "from mether.routing.tables_passwd import Passwd\n"
        "from mether.routing.source import TableError\n"
        "users = Passwd()\n"
        "users.get('root'), users.get('no-such-user-here')\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: print(users.get('daemon'), users.get('no-such-user'))\n"
        "except TableError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "passwd: Too many open files\n"
