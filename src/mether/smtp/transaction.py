"""One mail transaction, decided for the client (RFC 5321 section 3.3, RFC 2920, RFC 1870, RFC 6152).

A `Transaction` says what to send next and takes the replies; whoever owns the socket, blocking or
not, only writes and reads.

    commands = transaction.start()       [(verb, line), ...] to send in one write
    transaction.reply(verb, reply)       -> more commands, once for every reply
    transaction.wants_content            send the content and its end now, then `content_sent`
    transaction.finished                 every recipient has its `Result`

With PIPELINING offered, MAIL, all RCPTs and DATA go in one group.  A refused recipient never stops the
others.  Only parameters that were offered are sent (CLI-3).  What cannot be sent at all (too large
for the SIZE offered, an internationalized address without SMTPUTF8, content declared as 8-bit that is so
without 8BITMIME) is refused here, before a word was said, with `start` returning nothing and `finished` set.

`reset_needed` is set when the server is left inside a transaction: RSET comes before another MAIL.
"""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp import command, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.envelope import Envelope, Recipient
    from mether.smtp.extension import Offer

LOCAL: Final = "local"
"""The stage of a refusal that was decided here, with no server asked."""

NO_SMTPUTF8: Final = Reply(553, "5.6.7", "the next hop does not take internationalized addresses")
NO_8BITMIME: Final = Reply(
    554, "5.6.3", "the message has 8-bit content, which the next hop does not take (it offers no 8BITMIME)"
)
UNSENDABLE: Final = Reply(553, "5.1.3", "the address cannot be sent in an SMTP command")


class Result:
    """What the server said for one recipient: the `reply` that decided and the `stage` it came at.

    `stage` is a verb of smtp.state ("MAIL", "RCPT", "DATA", "."), or LOCAL.
    """

    __slots__ = ("reply", "stage")

    def __init__(self, stage: str, reply: Reply) -> None:
        self.stage = stage
        self.reply = reply

    @property
    def accepted(self) -> bool:
        """Whether the server took the message for this recipient."""
        return self.stage == state.END_OF_CONTENT and self.reply.ok


class Transaction:
    """One message to some recipients in one session.

    `recipients` is what to give in RCPT; `results` has, at each recipient's place, its Result or None
    as long as nothing decided.  `size` counts the octets that will be sent, without dot-stuffing.
    """

    __slots__ = (
        "_accepted",
        "_envelope",
        "_group",
        "_lmtp",
        "_offer",
        "_replied",
        "_size",
        "content_sent",
        "dot_only",
        "finished",
        "recipients",
        "reset_needed",
        "results",
        "wants_content",
    )

    def __init__(
        self,
        envelope: Envelope,
        recipients: Sequence[Recipient],
        offer: Offer,
        *,
        size: int,
        eight_bit: bool,
        lmtp: bool = False,
    ) -> None:
        self.recipients = recipients
        self.results: list[Result | None] = [None] * len(recipients)
        self.wants_content = False
        self.dot_only = False
        self.content_sent = False
        self.finished = False
        self.reset_needed = False
        self._envelope = envelope
        self._offer = offer
        self._size = size
        self._lmtp = lmtp
        self._accepted: list[int] = []
        self._replied = 0
        self._group: list[tuple[str, bytes]] = []
        self._build(eight_bit)

    def start(self) -> list[tuple[str, bytes]]:
        """What to send first; empty when everything was refused here."""
        if self.finished:
            return []
        if "PIPELINING" in self._offer:
            group, self._group = self._group, []
            return group
        return [self._group.pop(0)]

    def reply(self, verb: str, reply: Reply) -> list[tuple[str, bytes]]:
        """Take the reply to the next command outstanding; returns what to send now."""
        if reply.code == 421:
            # The server is closing (RFC 5321 section 3.8): no more replies will come, nothing may be sent.
            self.reset_needed = False
            self.fail(verb, reply)
            return []
        if verb == "MAIL":
            self._mail(reply)
        elif verb == "RCPT":
            self._rcpt(reply)
        elif verb == "DATA":
            self._data(reply)
        else:
            self._end(reply)
        if self.finished or not self._group or self.wants_content:
            return []
        if self._group[0][0] == "DATA" and not self._accepted:
            # Nothing to send it to: RFC 5321 section 3.3 asks for no DATA then.
            self._group.clear()
            self.reset_needed = True
            self._finish()
            return []
        return [self._group.pop(0)]

    def sent(self) -> int:
        """Note that content and end were written; returns how many replies that will bring."""
        self.wants_content = False
        self.content_sent = not self.dot_only
        return len(self._accepted) if self._lmtp and self._accepted else 1

    def fail(self, stage: str, reply: Reply) -> None:
        """Give every recipient without a result this one: the session is over."""
        self.results = [result or Result(stage, reply) for result in self.results]
        self._finish()

    def _build(self, eight_bit: bool) -> None:
        envelope, offer = self._envelope, self._offer
        limit = offer.size_limit
        if limit is not None and self._size > limit:
            text = f"the next hop takes messages of up to {limit} octets, this one has {self._size}"
            self.fail(LOCAL, Reply(552, "5.3.4", text))
            return
        foreign = envelope.reverse_path is not None and not envelope.reverse_path.is_ascii
        foreign = foreign or any(not recipient.forward_path.is_ascii for recipient in self.recipients)
        if foreign and "SMTPUTF8" not in offer:
            self.fail(LOCAL, NO_SMTPUTF8)
            return
        if eight_bit and "8BITMIME" not in offer and envelope.body != "7BIT":
            # RFC 6152 section 3.  What nobody declared goes as it came, as it always did.
            self.fail(LOCAL, NO_8BITMIME)
            return
        parameters = []
        if "SIZE" in offer:
            parameters.append(f"SIZE={self._size}")
        if eight_bit and "8BITMIME" in offer:
            parameters.append("BODY=8BITMIME")
        if foreign:
            parameters.append("SMTPUTF8")
        try:
            self._group.append(("MAIL", command.mail(envelope.reverse_path, parameters)))
            for recipient in self.recipients:
                self._group.append(("RCPT", command.rcpt(recipient.forward_path)))
        except ValueError:
            self.fail(LOCAL, UNSENDABLE)
            return
        self._group.append(("DATA", command.plain("DATA")))

    def _mail(self, reply: Reply) -> None:
        if not reply.ok:
            self.results = [Result("MAIL", reply) for _ in self.results]
            if self._group:
                self._group.clear()
                self._finish()
        else:
            self.reset_needed = True

    def _rcpt(self, reply: Reply) -> None:
        number, self._replied = self._replied, self._replied + 1
        if reply.ok:
            self._accepted.append(number)
        elif self.results[number] is None:
            self.results[number] = Result("RCPT", reply)

    def _data(self, reply: Reply) -> None:
        self._accepted = [number for number in self._accepted if self.results[number] is None]
        if reply.code == 354:
            self.wants_content = True
            # A server that goes on although all was refused gets an empty content (RFC 2920 3.1).
            self.dot_only = not self._accepted
            return
        for number in self._accepted:
            self.results[number] = Result("DATA", reply)
        self._finish()

    def _end(self, reply: Reply) -> None:
        self.reset_needed = False
        if self.wants_content:
            # It came before the end: the server gave up, for all recipients (in LMTP too).
            self.fail(state.END_OF_CONTENT, reply)
            return
        if self._lmtp and self._accepted:
            self.results[self._accepted.pop(0)] = Result(state.END_OF_CONTENT, reply)
            if not self._accepted:
                self._finish()
            return
        for number in self._accepted:
            self.results[number] = Result(state.END_OF_CONTENT, reply)
        self._finish()

    def _finish(self) -> None:
        self.wants_content = False
        self.finished = True
