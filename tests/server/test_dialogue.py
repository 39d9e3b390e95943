"""A server's session without a socket: replies gather, decisions may wait, endings are orderly."""

from __future__ import annotations

import pytest
from wirepair import OK, Taker, dialogue

from mether.net.tls import Security
from mether.reply import Reply
from mether.server.dialogue import TIMED_OUT, Dialogue
from mether.smtp.command import Command

GROUP = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"
CLOSING = b"421 4.3.2 the system is shutting down; please try again later\r\n"


def opened(taker: Taker | None = None, *, batch: bool = False) -> Dialogue:
    session = dialogue(taker, batch=batch)
    assert session.open().startswith(b"220 ")
    return session


def owing(more: bytes = b"") -> tuple[Taker, Dialogue]:
    """A session in which the reply to a content is owed."""
    taker = Taker(later=True)
    session = opened(taker)
    session.receive(b"EHLO c\r\n")
    session.receive(GROUP)
    assert session.receive(b"Subject: x\r\n.\r\n" + more) == b""
    assert session.paused and taker.owed == 1
    return taker, session


def codes(octets: bytes) -> list[int]:
    return [int(line[:3]) for line in octets.splitlines() if line[3:4] == b" "]


def test_a_group_is_answered_at_once() -> None:
    """PIP-5."""
    session = opened()
    session.receive(b"EHLO c\r\n")
    assert codes(session.receive(GROUP)) == [250, 250, 354]


@pytest.mark.parametrize("code", [421, 521])
def test_a_greeting_that_closes(code: int) -> None:
    """CMD-6."""
    session = dialogue(Taker({"greeting": Reply(code, None, "no")}))
    assert codes(session.open()) == [code]
    assert session.closing


def test_554_waits_for_quit() -> None:
    """CMD-6: the connection stays open."""
    session = dialogue(Taker({"greeting": Reply(554, None, "no")}))
    session.open()
    assert not session.closing
    assert codes(session.receive(b"QUIT\r\n")) == [221]
    assert session.closing


@pytest.mark.parametrize("reply", [Reply(221, None, "bye"), Reply(421, None, "no"), Reply(521, None, "no")])
def test_replies_that_close(reply: Reply) -> None:
    """CMD-25, CMD-26: nothing behind them is acted on."""
    taker = Taker({"NOOP": reply})
    session = opened(taker)
    assert codes(session.receive(b"NOOP\r\nRSET\r\n")) == [reply.code]
    assert session.closing
    assert session.receive(b"RSET\r\n") == b""
    assert [verb for verb, _ in taker.events] == ["NOOP"]


def test_paused_input_waits() -> None:
    """DAT-5: while the 250 is owed nothing else is answered, and then everything in order."""
    _, session = owing(b"MAIL FROM:<>\r\n")
    assert session.receive(b"RCPT TO:<b@x.test>\r\n") == b""
    assert codes(session.resume(Reply(250, "2.0.0", "queued"))) == [250, 250, 250]
    assert not session.paused


def test_an_answer_may_come_before_it_is_owed() -> None:
    """A decider that resumes before it returned None."""

    class Eager(Taker):
        session: Dialogue

        def command(self, command: Command) -> Reply | None:
            assert self.session.resume(OK) == b""
            return None

    taker = Eager()
    taker.session = opened(taker)
    assert codes(taker.session.receive(b"NOOP\r\nNOOP\r\n")) == [250, 250]
    assert not taker.session.paused


def test_half_closed_while_a_reply_is_owed() -> None:
    """CMD-25: the client's end of input does not take back what it sent."""
    _, session = owing(b"NOOP\r\n")
    assert session.receive(b"") == b""
    assert not session.closing
    assert codes(session.resume(OK)) == [250, 250]
    assert session.closing


def test_a_decision_for_nobody() -> None:
    """A lost client's reply goes nowhere."""
    _, session = owing(b"NOOP\r\n")
    session.closing = True
    assert session.resume(OK) == b""


def test_stop_between_commands() -> None:
    """CMD-27: 421 at once."""
    session = opened()
    assert session.stop() == CLOSING
    assert session.closing
    assert session.stop() == b""


def test_stop_in_the_middle_of_content() -> None:
    """CMD-27, DAT-5: the content is taken and answered first."""
    taker = Taker()
    session = opened(taker)
    session.receive(b"EHLO c\r\n")
    session.receive(GROUP)
    session.receive(b"Subject: x\r\n")
    assert session.stop() == b""
    assert session.receive(b"more\r\n") == b""
    assert session.receive(b".\r\n") == b"250 2.0.0 ok\r\n" + CLOSING
    assert session.closing and len(taker.messages) == 1


def test_stop_while_a_reply_is_owed() -> None:
    """CMD-27."""
    _, session = owing()
    assert session.stop() == b""
    assert session.resume(OK) == b"250 2.0.0 ok\r\n" + CLOSING
    assert session.closing


def test_the_end_of_the_input() -> None:
    """DAT-9: half a message is no message."""
    taker = Taker()
    session = opened(taker)
    session.receive(b"EHLO c\r\n")
    session.receive(GROUP)
    session.receive(b"Subject: x\r\n.")
    assert session.receive(b"") == b""
    assert session.closing and taker.messages == []


def test_too_early() -> None:
    """DAT-14: 554 and the end, on a socket; in batch mode it is next."""
    session = opened()
    assert codes(session.receive(b"EHLO c\r\nMAIL FROM:<>\r\n")) == [554]
    assert session.closing
    taker = Taker()
    session = opened(taker, batch=True)
    answers = session.receive(b"EHLO c\r\n" + GROUP + b"hello\r\n.\r\nQUIT\r\n")
    assert codes(answers) == [250, 250, 250, 354, 250, 221]
    assert taker.messages[0].content == b"hello\r\n"


def test_ended_by_the_shell() -> None:
    """TMO: 421 4.4.2."""
    session = opened()
    assert session.end(TIMED_OUT).startswith(b"421 4.4.2 ")
    assert session.closing and session.receive(b"NOOP\r\n") == b""


TLS = Security("TLSv1.3", "none")


def securing(taker: Taker) -> Dialogue:
    """A session in which 220 was just said to STARTTLS."""
    session = opened(taker)
    session.receive(b"EHLO c\r\n")
    assert codes(session.receive(b"STARTTLS\r\n")) == [220]
    assert session.securing and not session.closing
    return session


def test_starttls() -> None:
    """TLS-2: the decider is told, and all begins anew."""
    taker = Taker()
    session = securing(taker)
    session.secured(TLS)
    assert not session.securing
    assert taker.events[-1] == ("secured", "TLSv1.3")
    assert codes(session.receive(b"MAIL FROM:<>\r\n")) == [503]
    assert codes(session.receive(b"EHLO d\r\n")) == [250]
    assert codes(session.receive(GROUP)) == [250, 250, 354]


@pytest.mark.parametrize("late", [b"NOOP\r\n", b"N", b"\r\n", b"EHLO evil\r\n"])
def test_nothing_is_done_in_plaintext_behind_the_220(late: bytes) -> None:
    """TLS-3: and what has come stops the handshake."""
    taker = Taker()
    session = securing(taker)
    assert session.receive(late) == b""
    with pytest.raises(ValueError, match="plaintext"):
        session.secured(TLS)
    assert [verb for verb, _ in taker.events] == ["EHLO", "STARTTLS"]


def test_only_starttls_begins_tls() -> None:
    """A 220 to anything else does not, nor does a refusal."""
    taker = Taker({"XCLIENT": Reply(220, None, "mx"), "STARTTLS": Reply(454, "4.7.0", "not now")})
    session = opened(taker)
    session.receive(b"EHLO c\r\n")
    assert codes(session.receive(b"STARTTLS\r\n")) == [454] and not session.securing
    assert codes(session.receive(b"XCLIENT ADDR=192.0.2.1\r\n")) == [220] and not session.securing
    assert codes(session.receive(b"MAIL FROM:<>\r\n")) == [503]


def test_stopping_in_the_handshake() -> None:
    """CMD-27: no octet in clear text may follow the 220; the client is told afterwards."""
    session = securing(Taker())
    assert session.stop() == b"" and not session.closing
    session.secured(TLS)
    assert codes(session.receive(b"EHLO d\r\n")) == [250, 421]
    assert session.closing


def test_chunks_are_answered_one_by_one_and_the_last_may_wait() -> None:
    """BDT-2: in the order in which they came, whatever is owed."""
    taker = Taker(later=True)
    taker.keywords = [*taker.keywords, "CHUNKING"]
    session = opened(taker)
    session.receive(b"EHLO c\r\n")
    session.receive(GROUP[: GROUP.index(b"DATA")])
    assert codes(session.receive(b"BDAT 3\r\na\r\nBDAT 3\r\nb\r\nBDAT 3 LAST\r\nc\r\nRSET\r\n")) == [250, 250]
    assert session.paused
    assert codes(session.resume(OK)) == [250, 250]
    assert [message.content for message in taker.messages] == [b"a\r\nb\r\nc\r\n"]


def test_stopping_in_a_chunk() -> None:
    """CMD-27, DAT-9: half a chunk is content, which is not cut off; behind it the client is told."""
    taker = Taker()
    taker.keywords = [*taker.keywords, "CHUNKING"]
    for begun, done in ((b"BDAT 5\r\nab", b"cde"), (b"BDAT 5 LAST\r\nab", b"c\r\n")):
        session = opened(taker)
        session.receive(b"EHLO c\r\n")
        session.receive(GROUP[: GROUP.index(b"DATA")] + begun)
        assert session.stop() == b""
        assert codes(session.receive(done)) == [250, 421]
        assert session.closing


def test_an_auth_exchange_is_one_question_at_a_time() -> None:
    """AUT-3."""
    taker = Taker()
    taker.challenges = [Reply(334, None, ""), Reply(334, None, "AAAA"), Reply(235, "2.7.0", "ok")]
    session = opened(taker)
    session.receive(b"EHLO c\r\n")
    for line, code in ((b"AUTH LOGIN\r\n", 334), (b"QUIT\r\n", 334), (b"*\r\n", 235), (b"QUIT\r\n", 221)):
        assert codes(session.receive(line)) == [code]
    assert [argument for verb, argument in taker.events if verb == "RESPONSE"] == ["QUIT", "*"]
