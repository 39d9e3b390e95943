"""A directory that this process may not look into, run by root or not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def forbidden(path: str) -> Iterator[None]:
    """Be a user who may not enter this directory, but all those above it."""
    modes = {one: stat.S_IMODE(one.stat().st_mode) for one in (Path(path), *Path(path).parents)}
    changed = {one: mode | 0o011 for one, mode in modes.items() if not mode & 0o001}
    changed[Path(path)] = 0
    for one, mode in changed.items():
        one.chmod(mode)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for one in reversed(changed):
            one.chmod(modes[one])
