"""The states of an SMTP session, one table for both roles (RFC 5321 section 4.1.4).

Both roles step this table with a command and the reply that it got: the server when it replies, the
client when the reply arrives.  After every reply the two are in the same state.

| state | means |
|---|---|
| CONNECTED | no greeting yet |
| GREETED | greeting given; EHLO or HELO comes next |
| READY | said hello; no transaction |
| MAIL | a transaction with a reverse-path and no recipient |
| RCPT | a transaction with at least one recipient |
| CONTENT | 354 was given: octets of content up to the end |
| CHUNKS | content is coming by BDAT, and the last chunk has not come (RFC 3030) |
| SPOILT | a chunk was refused: only RSET, or a new EHLO, ends the transaction |
| AUTH | 334 was given: the client's next line is its response (RFC 4954) |
| CLOSED | QUIT was answered, or the greeting or a 421 ended it |

A *barrier* is a command after which the client must wait for the reply (RFC 2920 section 3.1, and
the commands that change what the octets mean).  In the table each verb has the states in which it
may stand, the state after success, and whether it is a barrier.  Commands of extensions join here.

BDAT and its last chunk are two verbs, "BDAT" and "BDAT LAST"; a line of an AUTH exchange is a RESPONSE.
After STARTTLS and XCLIENT the session begins anew: EHLO comes next (RFC 3207 section 4.2).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CONNECTED: Final = "CONNECTED"
GREETED: Final = "GREETED"
READY: Final = "READY"
MAIL: Final = "MAIL"
RCPT: Final = "RCPT"
CONTENT: Final = "CONTENT"
CHUNKS: Final = "CHUNKS"
SPOILT: Final = "SPOILT"
AUTH: Final = "AUTH"
CLOSED: Final = "CLOSED"

GREETING: Final = "greeting"
"""Stands in the table for the greeting, which answers no command."""

END_OF_CONTENT: Final = "."
"""Stands in the table for the end of the content."""

LAST_CHUNK: Final = "BDAT LAST"
"""Stands in the table for BDAT with LAST, which ends the content."""

RESPONSE: Final = "RESPONSE"
"""Stands in the table for a client's line in an AUTH exchange."""

REMEMBERED: Final = 4096
"""Steps that are remembered: see `after`."""

_HELLO_SAID: Final = frozenset((READY, MAIL, RCPT, CHUNKS, SPOILT))
_OPEN: Final = _HELLO_SAID | {GREETED}
_CHUNKED: Final = frozenset((RCPT, CHUNKS))


class Row:
    """A verb's line in the table: where it may stand, the state after it was done, and barrier."""

    __slots__ = ("after", "allowed", "barrier")

    def __init__(self, allowed: frozenset[str], after: str | None, barrier: bool = False) -> None:
        self.allowed = allowed
        self.after = after
        self.barrier = barrier


TABLE: Final = {
    GREETING: Row(frozenset((CONNECTED,)), GREETED, barrier=True),
    "EHLO": Row(_OPEN, READY, barrier=True),
    "HELO": Row(_OPEN, READY, barrier=True),
    "LHLO": Row(_OPEN, READY, barrier=True),
    "MAIL": Row(frozenset((READY,)), MAIL),
    "RCPT": Row(frozenset((MAIL, RCPT)), RCPT),
    "DATA": Row(frozenset((RCPT,)), CONTENT, barrier=True),
    END_OF_CONTENT: Row(frozenset((CONTENT,)), READY),
    "BDAT": Row(_CHUNKED, CHUNKS),
    LAST_CHUNK: Row(_CHUNKED, READY),
    "RSET": Row(_OPEN, None),
    "NOOP": Row(_OPEN, None),
    "HELP": Row(_OPEN, None),
    "VRFY": Row(_OPEN, None),
    "EXPN": Row(_OPEN, None),
    "ETRN": Row(frozenset((READY,)), None),
    "STARTTLS": Row(frozenset((READY,)), GREETED, barrier=True),
    "AUTH": Row(frozenset((READY,)), None, barrier=True),
    RESPONSE: Row(frozenset((AUTH,)), None, barrier=True),
    "XCLIENT": Row(frozenset((GREETED, READY)), GREETED, barrier=True),
    "QUIT": Row(_OPEN, CLOSED),
}

BARRIERS: Final = frozenset(verb for verb, row in TABLE.items() if row.barrier)


def allowed(state: str, verb: str) -> bool:
    """Whether the command may stand in this state; an unknown verb may stand anywhere."""
    row = TABLE.get(verb)
    return row is None or state in row.allowed


def barrier(verb: str) -> bool:
    """Whether nothing may follow the command before its reply."""
    return verb in BARRIERS


def after(state: str, verb: str, code: int) -> str:
    """The state after `verb`, in `state`, was answered with `code`."""
    return STEPS[state, verb, code]


class _Steps(dict[tuple[str, str, int], str]):
    """What `_after` says, for what was asked before: sessions take the same few steps again and again."""

    def __missing__(self, step: tuple[str, str, int]) -> str:
        state = _after(*step)
        if len(self) < REMEMBERED:  # a peer may answer with any code
            self[step] = state
        return state


STEPS: Final = _Steps()
"""What `after` looks things up in, for whoever asks at every reply."""


def _after(state: str, verb: str, code: int) -> str:
    row = TABLE.get(verb)
    if code == 421 or state == CLOSED:
        return CLOSED  # RFC 5321 section 3.8; whatever is still said, nothing opens it again
    if verb == END_OF_CONTENT:
        return READY  # whatever the reply, the transaction is over (section 4.1.1.4)
    if verb == "RSET":
        return READY if 200 <= code < 300 and state in _HELLO_SAID else state
    if verb in ("AUTH", RESPONSE):
        return AUTH if code == 334 else READY
    if row is None or row.after is None:
        return state
    if verb in ("BDAT", LAST_CHUNK):
        return _after_chunk(state, verb, code)
    if verb == "DATA":
        return CONTENT if code == 354 else state
    if verb == GREETING and not 200 <= code < 300:
        return GREETED  # a 554 greeting waits for QUIT (section 3.1)
    return row.after if 200 <= code < 300 else state


def _after_chunk(state: str, verb: str, code: int) -> str:
    """RFC 3030 section 2: one refused chunk is the end of the transaction, and RSET has to clear it."""
    if state not in _CHUNKED:
        return state  # out of order, and so refused
    if verb == LAST_CHUNK:
        return READY
    return CHUNKS if 200 <= code < 300 else SPOILT
