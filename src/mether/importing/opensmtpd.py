"""OpenSMTPD's spool: ``queue/XX/MESSAGE`` with the file ``message`` and one for each envelope, a recipient.

An envelope is lines of ``key: value`` (its envelope.c, version 2 and 3).  Recipients are those after aliases
(``dest``).  A report that it has yet to write (``type: bounce``) is not mail that can be taken; nor is what
programs left in ``offline`` while it was down, nor a queue that it compresses or encrypts.
"""

from __future__ import annotations

import os
import re

from mether.envelope import Recipient
from mether.importing.found import (
    Found,
    Unreadable,
    Wrong,
    from_offset,
    open_file,
    path_of,
    read_file,
    seconds_of,
    sender_of,
    shown,
    text_of,
    trouble,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_MESSAGE: Final = re.compile(r"[0-9a-f]{8}")
_ENVELOPE: Final = re.compile(r"[0-9a-f]{16}")
VERSIONS: Final = ("2", "3")
NOTIFY: Final = {"never": "NEVER", "success": "SUCCESS", "failure": "FAILURE", "delay": "DELAY"}


def read(directory: str, hostname: str) -> Iterator[Found | Unreadable]:
    """What waits in ``/var/spool/smtpd``.  Raises OSError, Wrong."""
    top = os.path.join(directory, "queue")
    if not os.path.isdir(top):
        raise Wrong(f"{directory}: it has no directory queue: it is no spool of OpenSMTPD")
    for bucket in sorted(os.listdir(top)):
        place = os.path.join(top, bucket)
        try:
            messages = sorted(os.listdir(place))
        except OSError as error:
            yield Unreadable(place, trouble(error))
            continue
        for name in messages:
            if _MESSAGE.fullmatch(name):
                yield from _message(os.path.join(place, name), name, hostname)
    try:
        left = sorted(os.listdir(os.path.join(directory, "offline")))
    except OSError:
        left = []
    for name in left:
        why = "OpenSMTPD has not taken it into its queue yet: start it once, or submit it again"
        yield Unreadable(os.path.join(directory, "offline", name), why)


def _message(place: str, name: str, hostname: str) -> Iterator[Found | Unreadable]:
    """One message: an entry for each reverse-path among its envelopes, which is one."""
    found: dict[str, Found] = {}
    content = os.path.join(place, "message")
    try:
        names = sorted(os.listdir(place))
        with open_file(content) as file:
            head = file.read(4)
        if head.startswith(b"\x1f\x8b"):
            raise Wrong("OpenSMTPD has compressed it (queue compression)")
    except (OSError, Wrong) as error:
        yield Unreadable(content, trouble(error))
        return
    for each in names:
        if not _ENVELOPE.fullmatch(each):
            continue
        path = os.path.join(place, each)
        try:
            facts = envelope(read_file(path))
            if facts.get("type") not in ("mta", "mda"):
                raise Wrong("a report that OpenSMTPD has still to write")
            one = parse(facts, path, name, content, hostname)
        except (OSError, Wrong) as error:
            yield Unreadable(path, trouble(error))
            continue
        first = found.setdefault(facts.get("sender", ""), one)
        if first is not one:
            first.recipients += one.recipients
            first.tried += one.tried
            first.hold = first.hold or one.hold
            first.name += f" {each[8:]}"
    yield from found.values()


def envelope(data: bytes) -> dict[str, str]:
    """The facts of an envelope file.  Raises Wrong."""
    facts: dict[str, str] = {}
    if not data.endswith(b"\n"):
        raise Wrong("it is no envelope, or ends within a line (OpenSMTPD can encrypt its queue)")
    for line in text_of(data).splitlines():
        key, colon, value = line.partition(":")
        if not colon:
            raise Wrong(f"{line[:80]!r} where a key and its value must be")
        facts[key.strip()] = value.strip()
    if facts.get("version") not in VERSIONS:
        raise Wrong(f"version {facts.get('version', 'none')[:20]!r} of envelopes is not known")
    return facts


def parse(facts: dict[str, str], path: str, name: str, content: str, hostname: str) -> Found:
    """The message to the recipient of one envelope.  Raises Wrong."""
    for key in ("ctime", "sender", "dest"):
        if key not in facts:
            raise Wrong(f"it has no {key}")
    asked = [word.strip().lower() for word in facts.get("dsn-notify", "").split(",")]
    notify = ",".join(NOTIFY[word] for word in asked if word in NOTIFY) or None
    orcpt = facts.get("dsn-orcpt") or None
    if orcpt is not None and ";" not in orcpt:
        orcpt = f"rfc822;{orcpt}"
    flags = [word.strip() for word in facts.get("flags", "").split(",")]
    error = facts.get("errorline", "")
    return Found(
        f"{os.path.basename(path)} {facts['ctime']}",
        path,
        sender_of(facts["sender"], hostname),
        [Recipient(path_of(facts["dest"], hostname), orcpt=orcpt, notify=notify)],
        seconds_of(facts["ctime"], "the time of arrival"),
        from_offset(content, 0),
        hold="suspended in OpenSMTPD's queue" if "suspend" in flags else None,
        ret={"FULL": "FULL", "HDRS": "HDRS"}.get(facts.get("dsn-ret", "").upper()),
        envid=facts.get("dsn-envid") or None,
        tried=[shown(f"{facts['dest']}: {error}")] if error else [],
    )
