"""Hostile servers: whatever they do, both clients come to the same outcome, and come to it soon.

What each outcome must be is the table of `relay.failure`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import attempt, kinds
from peer import CLOSE, Peer, closed_port

from mether.client.session import Timeouts
from mether.outcome import Outcome

Told = dict[str, list[str | bytes]]

STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", ".")
PIPELINING = ("PIPELINING",)

NO_REPLY = {
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
    "no code": b"hello\r\n",
    "a code of two digits": b"25 ok\r\n",
    "a code below 200": b"150 wait\r\n",
    "a code above 599": b"600 what\r\n",
    "other digits": "٢٥٠ ok\r\n".encode(),
    "an endless line": b"250 " + b"x" * 1_000_000,
    "an endless continuation line": b"250-" + b"x" * 1_000_000,
    "50,000 continuation lines": b"250-more\r\n" * 50_000,
    "a code that changes": b"250-one\r\n251 two\r\n",
    "NUL octets": b"\0" * 10_000,
}


def shown(outcome: Outcome) -> str:
    """The outcome's class."""
    return f"{outcome.action} {outcome.status} {outcome.scope}{', uncertain' if outcome.uncertain else ''}"


def lost(step: str, status: str) -> str:
    """The outcome of a session that ended at this step: after the content nobody knows what came of it."""
    return f"delayed {status} transaction, uncertain" if step == "." else f"delayed {status} host"


def one(kind: str, replies: Told, timeouts: Timeouts | None = None, offer: tuple[str, ...] = ()) -> Outcome:
    with Peer(replies, offer=offer) as server:
        (outcome,) = attempt(kind, server.port, timeouts=timeouts)
    return outcome


@kinds
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", NO_REPLY)
def test_what_is_no_reply(kind: str, step: str, what: str) -> None:
    """Checklist CLI-2: not SMTP at all, with a limit on every line and on their number."""
    assert shown(one(kind, {step: [NO_REPLY[what]]})) == lost(step, "4.5.0")


@kinds
@pytest.mark.parametrize("offer", [(), PIPELINING])
@pytest.mark.parametrize("step", STEPS)
def test_a_connection_that_is_dropped(kind: str, step: str, offer: tuple[str, ...]) -> None:
    """CLI-9."""
    assert shown(one(kind, {step: [CLOSE]}, offer=offer)) == lost(step, "4.4.2")


@kinds
@pytest.mark.parametrize("step", STEPS)
def test_a_connection_that_is_dropped_inside_a_reply(kind: str, step: str) -> None:
    """Half of a reply is none: "250" without its end of line, and a continuation without its end."""

    class Cut(Peer):
        def _say(self, client, line, default):  # type: ignore[no-untyped-def]
            if line.split(" ")[0] == step:
                client.sendall(b"250-half\r\n250 ok")
                raise ConnectionAbortedError
            return super()._say(client, line, default)

    with Cut() as server:
        (outcome,) = attempt(kind, server.port)
    assert shown(outcome) == lost(step, "4.4.2")


@kinds
@pytest.mark.parametrize("offer", [(), PIPELINING])
@pytest.mark.parametrize("step", STEPS)
def test_421(kind: str, step: str, offer: tuple[str, ...]) -> None:
    """CLI-9, RFC 5321 section 3.8: the host is closing; that is certain even after the content."""
    outcome = one(kind, {step: ["421 4.3.2 shutting down"]}, offer=offer)
    assert shown(outcome) == "delayed 4.3.2 host"
    assert str(outcome.reply) == "421 4.3.2 shutting down"


@kinds
@pytest.mark.parametrize("step", STEPS)
def test_silence(kind: str, step: str) -> None:
    """TMO-1: each command has its own time-out; only the one that is met here is short."""
    which = {"greeting": "greeting", "DATA": "data", ".": "end"}.get(step, "command")
    limits = dict.fromkeys(("connect", "greeting", "command", "data", "end", "quit"), 30.0)
    outcome = one(kind, {step: [b""]}, Timeouts(**{**limits, which: 0.05}))
    assert shown(outcome) == lost(step, "4.4.2")
    assert "did not answer in time" in str(outcome.reply)


@kinds
@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"greeting": ["554 5.3.2 no mail here"]}, "failed 5.3.2 host"),
        ({"greeting": ["450 4.3.2 not now"]}, "delayed 4.3.2 host"),
        ({"EHLO": ["550 5.7.1 go away"], "HELO": ["550 5.7.1 go away"]}, "failed 5.7.1 host"),
        ({"EHLO": ["451 4.7.1 later"]}, "delayed 4.7.1 host"),
        ({"EHLO": ["502 what?"]}, "relayed 2.0.0 recipient"),
        ({"MAIL": ["354 go on"]}, "delayed 4.5.0 transaction"),
        ({"RCPT": ["354 go on"]}, "delayed 4.5.0 transaction"),
        ({"DATA": ["250 ok"]}, "delayed 4.5.0 transaction"),
        ({".": ["354 more"]}, "delayed 4.5.0 transaction"),
        ({"MAIL": ["550 5.7.1 not you"]}, "failed 5.7.1 transaction"),
        ({"RCPT": ["550 5.1.1 nobody"]}, "failed 5.1.1 recipient"),
        ({"RCPT": ["552 5.5.3 too many"]}, "delayed 5.5.3 recipient"),
        ({"RCPT": ["450 4.2.1 busy"]}, "delayed 4.2.1 recipient"),
        ({".": ["554 5.6.0 spam"]}, "failed 5.6.0 transaction"),
        ({".": ["452 4.3.1 full"]}, "delayed 4.3.1 transaction"),
        ({".": ["299 odd but fine"]}, "relayed 2.0.0 recipient"),
        ({".": [b"250\r\n"]}, "relayed 2.0.0 recipient"),
    ],
    ids=str,
)
def test_replies(kind: str, replies: Told, expected: str) -> None:
    """CLI-2, CLI-6, CLI-13: the first digit decides, and what no command allows is a fault."""
    assert shown(one(kind, replies)) == expected


@kinds
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_reply_too_many(kind: str, step: str) -> None:
    """PIP-3: it answers nothing, and so it is not taken for the answer to what comes next: least of all
    a 250 that comes before the content."""
    code = {"greeting": "220", "DATA": "354"}.get(step, "250")
    outcome = one(kind, {step: [f"{code} ok\r\n250 too many\r\n".encode()]})
    assert shown(outcome) == "delayed 4.5.0 host"
    assert "a reply to nothing: 250 too many" in str(outcome.reply)


@kinds
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
def test_421_behind_a_reply(kind: str, step: str) -> None:
    """RFC 5321 section 3.8: a server may say it at any time."""
    code = {"greeting": "220", "DATA": "354"}.get(step, "250")
    outcome = one(kind, {step: [f"{code} ok\r\n421 4.3.2 closing\r\n".encode()]})
    assert (outcome.action, outcome.scope) == ("delayed", "host")
    assert "421 4.3.2 closing" in str(outcome.reply)


@kinds
def test_a_reply_too_many_after_the_message(kind: str) -> None:
    """It does not undo what was accepted."""
    assert shown(one(kind, {".": [b"250 taken\r\n554 or not\r\n"]})) == "relayed 2.0.0 recipient"


@kinds
@pytest.mark.parametrize("offer", [(), PIPELINING])
def test_a_refused_recipient_among_others(kind: str, offer: tuple[str, ...]) -> None:
    """CLI-7."""
    people = ("bob@example.com", "no@example.com", "dan@example.com", "later@example.com")
    told: Told = {
        "RCPT TO:<no@example.com>": ["550 5.1.1 no"],
        "RCPT TO:<later@example.com>": ["450 4.2.0 x"],
    }
    with Peer(told, offer=offer) as server:
        made = attempt(kind, server.port, people)
        assert server.wait_for(1)
    assert [outcome.action for outcome in made] == ["relayed", "failed", "relayed", "delayed"]
    assert server.messages[0].recipients == ["bob@example.com", "dan@example.com"]


@kinds
def test_all_refused_and_yet_354(kind: str) -> None:
    """PIP-3, RFC 2920 section 3.1: a lone dot, and no content to nobody."""
    told: Told = {"RCPT": ["550 5.1.1 no"], "DATA": ["354 go on"], ".": ["554 5.5.1 no recipients"]}
    with Peer(told, offer=PIPELINING) as server:
        (outcome,) = attempt(kind, server.port)
    assert shown(outcome) == "failed 5.1.1 recipient"
    assert server.messages == []


@kinds
def test_nobody_listens(kind: str) -> None:
    (outcome,) = attempt(kind, closed_port())
    assert shown(outcome) == "delayed 4.4.1 host"


@kinds
def test_lmtp(kind: str, tmp_path: Path) -> None:
    """LMT-3, LMT-4: LHLO over a Unix socket, and a reply for each recipient, not for the message."""
    people = ("bob@example.com", "no@example.com", "dan@example.com", "carol@example.com")
    told: Told = {
        "RCPT TO:<no@example.com>": ["550 5.1.1 no"],
        ".": ["250 2.0.0 one", "452 4.2.2 full", "250 2.0.0 three"],
    }
    with Peer(told, unix=str(tmp_path / "lmtp")) as server:
        made = attempt(kind, str(tmp_path / "lmtp"), people, lmtp=True)
    assert [str(outcome.reply) for outcome in made] == [
        "250 2.0.0 one",
        "550 5.1.1 no",
        "452 4.2.2 full",
        "250 2.0.0 three",
    ]
    assert server.said()[0] == "LHLO"


@kinds
def test_lmtp_lost_between_the_replies(kind: str) -> None:
    """LMT-4: what was answered stands, the rest may or may not have been delivered."""
    people = ("bob@example.com", "dan@example.com")
    with Peer({".": ["250 2.0.0 one", CLOSE]}, lmtp=True) as server:
        first, second = attempt(kind, server.port, people, lmtp=True)
    assert shown(first) == "relayed 2.0.0 recipient"
    assert shown(second) == "delayed 4.4.2 transaction, uncertain"
