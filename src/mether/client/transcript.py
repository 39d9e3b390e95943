"""What was said in a session, kept as it came, and written for a person when something went wrong.  Pure.

A session appends an `Entry` to a `Log` for each group of commands it writes and for the octets it gets:
references to what exists anyway.  `text` makes the lines of it:

    mx.example.net[192.0.2.1]:25
       0.012 S: 220 mx.example.net ESMTP
       0.012 C: EHLO us.example.com
       0.131 C: [4096 octets of content]

with the seconds since the connection was there.  Content is never kept, and what an AUTH exchange carries is
taken out before anything else can read the log (`hidden`).  What a server said in the exchange is kept by
its code and status alone: servers quote what they do not understand.

Limits: ENTRIES entries of a log, the first and the last ones; OCTETS octets of text, the first and the last.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    Entry = tuple[float, str, bytes | str | int]
    """When (seconds), whose ("C", "S", "-" for neither), and the octets, a note, or how many octets of
    content."""
    Log = list[Entry]

OCTETS: Final = 16 * 1024
ENTRIES: Final = 128
HIDDEN: Final = "[hidden]"


def trim(log: Log) -> None:
    """Leave out the middle of a log that has grown too long."""
    if len(log) > ENTRIES:
        half = ENTRIES // 2
        log[half : -half // 2] = [(log[half][0], "-", "[...]")]


def hidden(log: Log) -> Log:
    """The log of an AUTH exchange without the credentials."""
    left: Log = []
    for at, who, octets in _runs(log):
        if isinstance(octets, bytes):
            lines = octets.split(b"\r\n")[:-1] if octets.endswith(b"\r\n") else octets.split(b"\r\n")
            shown = _server(lines) if who == "S" else _client(lines)
            left.append((at, who, "".join(f"{line}\r\n" for line in shown).encode()))
        else:
            left.append((at, who, octets))
    return left


def text(parts: Iterable[tuple[str, Iterable[Log], str]]) -> str:
    """The transcript of sessions: of each the host, its logs, and what happened to it, "" for nothing
    more."""
    lines: list[str] = []
    for host, logs, end in parts:
        if host:
            lines.append(host)
        began = None
        for log in logs:
            for at, who, octets in _runs(log):
                began = at if began is None else began
                lines += (f"{at - began:8.3f} {who}{one}" for one in _lines(who, octets))
        if end:
            lines.append(f"         - {_visible(end.encode())}")
    return _cut("\n".join(lines))


def _runs(log: Iterable[Entry]) -> Log:
    """The log with octets joined that one side sent in one go, so that no line lies in two entries."""
    joined: Log = []
    for at, who, octets in log:
        if joined and isinstance(octets, bytes) and joined[-1][1] == who:
            before = joined[-1][2]
            if isinstance(before, bytes):
                if len(before) < 4 * OCTETS:
                    joined[-1] = (joined[-1][0], who, before + octets[: 4 * OCTETS])
                continue
        joined.append((at, who, octets[: 4 * OCTETS] if isinstance(octets, bytes) else octets))
    return joined


def _lines(who: str, octets: bytes | str | int) -> list[str]:
    if isinstance(octets, int):
        return [f": [{octets} octets of content]"]
    if isinstance(octets, str):
        return [f" {octets}"]
    lines = octets.split(b"\r\n")
    if not lines[-1]:
        lines.pop()
    return [f": {_visible(line)}" for line in lines]


def _client(lines: list[bytes]) -> list[str]:
    """What we said, without what it proved: the mechanism stays."""
    shown = []
    for line in lines:
        words = line.split(b" ")
        named = words[0].upper() == b"AUTH" and len(words) > 1
        if line == b"*":
            shown.append("*")
        elif named:
            shown.append(f"AUTH {_visible(words[1])}" + (f" {HIDDEN}" if len(words) > 2 else ""))
        else:
            shown.append(HIDDEN)
    return shown


def _server(lines: list[bytes]) -> list[str]:
    """What the server said, by its code and status."""
    shown = []
    for line in lines:
        code, rest = line[:4], line[4:].split(b" ", 1)[0]
        digits = rest.replace(b".", b"")
        status = f"{rest.decode()} " if rest.count(b".") == 2 and digits.isdigit() and len(rest) < 10 else ""
        known = code[:3].isdigit() and len(code[:3]) == 3
        shown.append(
            f"{code[:3].decode()}{'-' if code[3:] == b'-' else ' '}{status}{HIDDEN}" if known else HIDDEN
        )
    return shown


def _visible(octets: bytes) -> str:
    line = octets.decode("utf-8", "backslashreplace")
    if line.isprintable():
        return line
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in line
    )


def _cut(whole: str) -> str:
    octets = whole.encode("utf-8", "backslashreplace")
    if len(octets) <= OCTETS:
        return whole
    half = OCTETS // 2 - 32
    first = octets[:half].decode("utf-8", "ignore")
    last = octets[-half:].decode("utf-8", "ignore")
    return f"{first}\n[{len(octets) - 2 * half} octets left out]\n{last}"
