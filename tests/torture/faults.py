"""Faults of the disk and the clock, on order: the library of faults.c and its orders.

`build` compiles it, or another one, with the C compiler that is there; `Orders` gives the orders to all
processes that were started with `Orders.environment`.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
_NAMES = ("sync_fails", "full", "broken", "shortened", "clock", "struck")
_LAYOUT = struct.Struct(f"{len(_NAMES)}i")


def compiler() -> str | None:
    """The C compiler, None where there is none."""
    return shutil.which("cc") or shutil.which("gcc")


def build(directory: Path, source: Path = SOURCE) -> Path | None:
    """The library, compiled into `directory`; None where there is no C compiler."""
    program = compiler()
    if program is None:
        return None
    library = directory / f"{source.stem}.so"
    argv = [program, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl", "-lpthread"]
    subprocess.run(argv, check=True)
    return library


class Orders:
    """What the processes are to suffer: each name of `_NAMES` is an attribute to read and to set.

    Probabilities are in 1/1000 of the calls, `clock` in seconds; `struck` counts the faults there were.
    """

    def __init__(self, path: Path, library: Path) -> None:
        path.write_bytes(bytes(_LAYOUT.size))
        fd = os.open(path, os.O_RDWR)
        self._at = mmap.mmap(fd, _LAYOUT.size)
        os.close(fd)
        self.environment = {"LD_PRELOAD": str(library), "METHER_FAULTS": str(path)}

    def __getattr__(self, name: str) -> int:
        value: int = _LAYOUT.unpack_from(self._at)[_NAMES.index(name)]
        return value

    def give(self, **orders: int) -> None:
        """Order these faults, and no others."""
        values = dict.fromkeys(_NAMES, 0) | {"struck": self.struck} | orders
        _LAYOUT.pack_into(self._at, 0, *(values[name] for name in _NAMES))
