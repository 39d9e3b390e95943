"""Lists of members in files, ``:include:/path`` of an alias, each read anew when it has changed.

A list that cannot be read, or is wrong, raises TableError as any table does: mail to it waits, and goes to
nobody meanwhile.  Who may write to such a file says where mail goes, so it must be writable for those alone
who may say that; programs and files are never taken from it (`routing.aliases.included`).  At most FILES
lists are remembered, and what was read of as many texts.
"""

from __future__ import annotations

from functools import lru_cache

from mether.routing import aliases
from mether.routing.tables_file import Reread, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.routing.aliases import Member

FILES: Final = 256
SHORT: Final = 1000
"""Characters of a text that is one of many."""

_files: dict[str, Reread] = {}


def members_of(text: str) -> tuple[Member, ...]:
    """What `aliases.members` finds in a text, remembered.  Raises ValueError."""
    return _short(text) if len(text) <= SHORT else _long(text)


def in_file(path: str) -> tuple[Member, ...]:
    """The members in an included file.  Raises TableError or Needs."""
    file = _files.get(path)
    if file is None:
        if len(_files) >= FILES:
            _files.clear()
        file = _files[path] = Reread(path, _parse)
    return _included(file.get("text") or "", path)


def _parse(data: bytes, path: str) -> dict[str, str]:
    """The text of a list that is right.  Raises ValueError."""
    aliases.included(data, path)
    return {"text": text_of(data, path)}


@lru_cache(4096)
def _short(text: str) -> tuple[Member, ...]:
    return tuple(aliases.members(text))


@lru_cache(64)
def _long(text: str) -> tuple[Member, ...]:
    return tuple(aliases.members(text))


@lru_cache(FILES)
def _included(text: str, path: str) -> tuple[Member, ...]:
    return aliases.included(text.encode(), path)
