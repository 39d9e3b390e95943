"""``ID.sh``: a queued message's envelope as a POSIX shell script, in one canonical form.

As in 1986 the envelope in the spool is a script.  Run by hand, ``sh ID.sh`` from any directory, with
`smtp` in PATH, it takes the lock on ``ID.msg`` that the queue runner takes too, sends the message with one
`smtp` line for each next hop, adds what smtp says to ``ID.errs``, and when every line succeeded removes
the three files.  Otherwise they stay and the exit status is that of the last line that failed; run
again, it sends every line again.  It asks for no DSN: a command line cannot.

mether never runs it.  `render` writes it from a `Record`; `parse` reads it and takes only the bytes that
`render` would write, so that a file which a person or a fault has changed is refused, whatever it says.
Each word from outside is quoted whole; the state that a command line cannot say is one JSON comment line
(see `directory_state`).

What smtp could not do as the queue would (a maildir or pipe, REQUIRETLS, a time of DELIVERBY after which it
is to be returned), and a message on hold, give a script that says so before it does anything, and exits 75;
its hops stand on ``:`` lines or after the exit.  Such a message is delivered by runsmtpq alone.  A script of
a message that is to be released later (RFC 4865) looks at the clock, and exits 75 before that time.
"""

from __future__ import annotations

import math

from mether.address import Address, path_text
from mether.outcome import Route
from mether.queue.directory_state import Record, read_state, write_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.address import ReversePath

HEADER: Final = """\
#!/bin/sh
# A message in the queue of mether: smtpq(8) shows it, runsmtpq(8) delivers it.
# mether reads this file, never runs it, and refuses it once it was changed by hand.
# Run by hand it sends the message, and removes it from the queue when that succeeded.
# """

# A read error in the middle of `cat` would end the message early and smtp would not know: hence the count.
# The shell must read the script again once it has the lock: what it began to read may be an older one.
_LOCK: Final = """\
case $0 in */*) CDPATH= cd -- "${0%%/*}/" || exit 75;; esac
if [ "${METHER_LOCKED-}" != %(id)s ]; then
	exec 9<%(id)s.msg || exit 75
	flock -n 9 || { echo '%(id)s: another process is delivering it' >&2; exit 75; }
	METHER_LOCKED=%(id)s; export METHER_LOCKED
	exec sh ./%(id)s.sh
fi
[ "$(cat %(id)s.msg | wc -c)" -eq %(octets)d ] || { echo '%(id)s: %(id)s.msg is damaged' >&2; exit 75; }
"""

_END: Final = """\
if [ $status -ne 0 ]; then
	echo "%(id)s: not sent, exit status $status; see %(id)s.errs" >&2
	exit $status
fi
rm -f %(id)s.sh %(id)s.errs %(id)s.msg
"""

_SEND: Final = "message | smtp"
_ALONE: Final = ": runsmtpq"


def quote(word: str) -> str:
    """The word quoted whole for a POSIX shell.  Raises ValueError when it holds a NUL."""
    if "\0" in word:
        raise ValueError("a NUL, which no command line can hold")
    return "'" + word.replace("'", "'\\''") + "'"


def target(route: Route) -> str | None:
    """The targethost that makes smtp speak to this next hop as the queue would, or None."""
    hop = route.next_hop
    special = hop[:5].lower() in ("unix:", "lmtp:")
    if route.helo.startswith("-"):
        return None
    if route.transport == "lmtp" and hop:
        return hop if hop.startswith("unix:") else f"lmtp:{hop}"
    if route.transport == "smtp" and hop and not special and not hop.startswith("-"):
        return hop
    return None


def _route(target: str, helo: str) -> Route:
    """The route whose `target` this is."""
    if target.startswith("unix:"):
        return Route("lmtp", target, helo)
    if target.startswith("lmtp:"):
        return Route("lmtp", target[5:], helo)
    return Route("smtp", target, helo)


def render(record: Record) -> bytes:
    """The script of a record.  Raises ValueError when one of its values holds a NUL or no usable time."""
    ident = record.message.ident
    hops = record.hops()
    lock = _LOCK % {"id": ident, "octets": record.octets}
    parts = [HEADER, write_state(record), "\n", _guard(record), lock, "message() {\n"]
    lines = record.message.trace.decode("utf-8", "surrogateescape").split("\r\n")
    rest = lines.pop()
    if lines:
        parts += ["\tprintf '%s\\r\\n' ", " \\\n\t\t".join(map(quote, lines)), "\n"]
    if rest:
        parts += ["\tprintf %s ", quote(rest), "\n"]
    parts.append(f"\tcat {ident}.msg\n}}\nstatus=0\n")
    sender = quote(f"<{path_text(record.message.envelope.reverse_path)}>")
    for route, rows in hops.items():
        host = target(route)
        words = [sender, *(quote(f"<{row.recipient.forward_path}>") for row in rows)]
        if host is None:
            words[:0] = [_ALONE, quote(route.transport), quote(route.next_hop), quote(route.helo)]
        else:
            words[:0] = [_SEND, *(["-h", quote(route.helo)] if route.helo else []), quote(host)]
            words.append(f">>{ident}.errs 2>&1 || status=$?")
        parts += [" ".join(words), "\n"]
    parts.append(_END % {"id": ident})
    return "".join(parts).encode("utf-8", "surrogateescape")


def _guard(record: Record) -> str:
    """The line that stops a script which smtp must not, or cannot, carry out."""
    ident = record.message.ident
    if record.message.hold is not None:
        return f"echo '{ident}: on hold; see smtpq show {ident}' >&2; exit 75\n"
    if record.message.envelope.requiretls:
        return f"echo '{ident}: needs REQUIRETLS; only runsmtpq can deliver it' >&2; exit 75\n"
    by = record.message.envelope.by
    if by is not None and by.mode == "R":
        return f"echo '{ident}: needs DELIVERBY; only runsmtpq can deliver it' >&2; exit 75\n"
    if any(target(route) is None for route in record.hops()):
        return f"echo '{ident}: not all for smtp; only runsmtpq can deliver it' >&2; exit 75\n"
    if record.message.release_at:
        at = math.ceil(record.message.release_at)
        return (
            f'[ "$(date +%s)" -ge {at} ] || '
            f"{{ echo '{ident}: not to be sent before @{at}; see smtpq show {ident}' >&2; exit 75; }}\n"
        )
    return ""


def parse(data: bytes, *, canonical: bool = True) -> Record:
    """The record of a script.  Raises ValueError unless the bytes are those that `render` writes.

    Without `canonical`, which is for repairing, what says nothing of the message may be otherwise.
    """
    text = data.decode("utf-8", "surrogateescape")
    if not text.startswith(HEADER):
        raise ValueError("not an envelope written by mether")
    state, _, body = text[len(HEADER) :].partition("\n")
    _, found, body = body.partition("\nmessage() {\n")
    if not found:
        raise ValueError("no message function")
    reader = _Reader(body)
    trace = ""
    if reader.skip("\tprintf '%s\\r\\n' "):
        trace = reader.word() + "\r\n"
        while reader.skip(" \\\n\t\t"):
            trace += reader.word() + "\r\n"
        reader.expect("\n")
    if reader.skip("\tprintf %s "):
        trace += reader.word()
        reader.expect("\n")
    reader.skip_past("status=0\n")
    senders, hops = [], []
    while (alone := reader.skip(_ALONE + " ")) or reader.skip(_SEND + " "):
        if alone:
            route = Route(*(reader.word(" ") for _ in range(3)))
        else:
            helo = reader.word(" ") if reader.skip("-h ") else ""
            route = _route(reader.word(" "), helo)
        senders.append(reader.word())
        paths = []
        while reader.skip(" '", keep=1):
            paths.append(_path(reader.word()))
        if alone:
            reader.expect("\n")
        else:
            reader.skip_past("\n")
        hops.append((route, [path for path in paths if path is not None]))
    if not senders:
        raise ValueError("no recipient")
    record = read_state(state, _path(senders[0]), hops, trace.encode("utf-8", "surrogateescape"))
    if canonical and render(record) != data:
        raise ValueError("not in canonical form: it was changed after mether wrote it")
    return record


def _path(text: str) -> ReversePath:
    if not (text.startswith("<") and text.endswith(">")):
        raise ValueError(f"{text[:80]!r} where a path in angle brackets must be")
    local, at, domain = text[1:-1].rpartition("@")
    if not at:
        return Address(domain, "") if domain else None
    return Address(local, domain)


class _Reader:
    """A place in the text, moved on by what is read."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self, prefix: str, keep: int = 0) -> bool:
        """Move past `prefix` (but for its last `keep` characters) if it is next."""
        if not self.text.startswith(prefix, self.at):
            return False
        self.at += len(prefix) - keep
        return True

    def expect(self, prefix: str) -> None:
        if not self.skip(prefix):
            raise ValueError(f"{self.text[self.at : self.at + 40]!r} where {prefix!r} must be")

    def skip_past(self, mark: str) -> None:
        found = self.text.find(mark, self.at)
        if found < 0:
            raise ValueError(f"no {mark!r}")
        self.at = found + len(mark)

    def word(self, after: str = "") -> str:
        """The quoted word that is next, and `after` behind it."""
        self.expect("'")
        pieces = []
        while True:
            end = self.text.find("'", self.at)
            if end < 0:
                raise ValueError("a word without its closing quote")
            pieces.append(self.text[self.at : end])
            self.at = end + 1
            if not self.skip("\\''"):
                break
        self.expect(after)
        return "'".join(pieces)
