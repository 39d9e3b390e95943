"""One mail transaction, decided for the client (RFC 5321 section 3.3, RFC 2920, RFC 3030).

A `Transaction` says what to send next and takes the replies; whoever owns the socket, blocking or
not, only writes and reads.

    commands = transaction.start()       [(verb, line), ...] to send in one write
    transaction.reply(verb, reply)       -> more commands, once for every reply
    transaction.wants_content            send the content now: by DATA its stuffed octets and its end, then
                                         `content_sent`; with `chunk` set by that command and its octets
    transaction.finished                 every recipient has its `Result`

With PIPELINING offered, MAIL, all RCPTs and DATA go in one group; BDAT waits for the replies to them (RFC
3030 section 4.2).  A refused recipient never stops the others.  What to send to this server, and what
cannot be sent to it, was decided before (`smtp.fit`): a refusal there is a result here, with no word
said for it.

`reset_needed` is set when the server is left inside a transaction: RSET comes before another MAIL.
"""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp import command, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.smtp.extension import Offer
    from mether.smtp.fit import Fit

LOCAL: Final = "local"
"""The stage of a refusal that was decided here, with no server asked."""

_DATA: Final = ("DATA", command.plain("DATA"))
UNSENDABLE: Final = Reply(553, "5.1.3", "the address cannot be sent in an SMTP command")
EARLY: Final = Reply(451, "4.5.0", "the server said yes to the message before all of it was sent")


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
    """One message in one session, as `fit` has it, for the recipients of `fit`.

    `results` has, at each recipient's place, its Result or None as long as nothing decided.
    """

    __slots__ = (
        "_accepted",
        "_again",
        "_asked",
        "_group",
        "_lmtp",
        "_pipelining",
        "_replied",
        "chunk",
        "content_sent",
        "dot_only",
        "finished",
        "fit",
        "reset_needed",
        "results",
        "wants_content",
    )

    def __init__(self, fit: Fit, offer: Offer, *, lmtp: bool = False) -> None:
        self.fit = fit
        self.results: list[Result | None] = [None] * len(fit.forward_paths)
        self.chunk: tuple[str, bytes] | None = None
        self.wants_content = False
        self.dot_only = False
        self.content_sent = False
        self.finished = False
        self.reset_needed = False
        self._pipelining = "PIPELINING" in offer
        self._lmtp = lmtp
        self._asked: list[int] = []
        self._accepted: list[int] = []
        self._replied = 0
        self._group: list[tuple[str, bytes]] = []
        self._again = False
        self._build()

    def start(self) -> list[tuple[str, bytes]]:
        """What to send first; empty when everything was refused here."""
        if self.finished:
            return []
        if self._pipelining:
            group, self._group = self._group, []
            return group
        return [self._group.pop(0)]

    def asking(self) -> list[tuple[str, bytes]]:
        """MAIL and every RCPT, for one who wants to know what is accepted and sends nothing."""
        return [] if self.finished else [one for one in self._group if one[0] != "DATA"]

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
            return []
        if self.finished or self.wants_content or not (self._group or self.fit.chunking):
            return []
        if self._replied == len(self._asked):
            self._accepted = [number for number in self._accepted if self.results[number] is None]
            if not self._accepted:
                # Nothing to send it to: RFC 5321 section 3.3 asks for no DATA then.
                self._group.clear()
                self.reset_needed = True
                self._finish()
                return []
            if self.fit.chunking:
                self.wants_content = True
                self.chunk = (state.LAST_CHUNK, command.chunk(self.fit.size))
                return []
        return [self._group.pop(0)] if self._group else []

    def sent(self) -> int:
        """Note that content and end were written; returns how many replies that will bring."""
        self.wants_content = False
        self.content_sent = not self.dot_only
        return len(self._accepted) if self._lmtp and self._accepted else 1

    def fail(self, stage: str, reply: Reply) -> None:
        """Give every recipient without a result this one: the session is over."""
        self.results = [result or Result(stage, reply) for result in self.results]
        self._finish()

    def _build(self) -> None:
        fit = self.fit
        if fit.refusal is not None:
            self.fail(LOCAL, fit.refusal)
            return
        try:
            self._group.append(("MAIL", command.mail(fit.reverse_path, fit.mail)))
        except ValueError:
            self.fail(LOCAL, UNSENDABLE)
            return
        group, asked = self._group, self._asked
        for number, (path, parameters) in enumerate(zip(fit.forward_paths, fit.rcpt, strict=True)):
            refused = fit.refused.get(number) if fit.refused else None
            if refused is None:
                try:
                    group.append(("RCPT", command.rcpt(path, parameters)))
                    asked.append(number)
                    continue
                except ValueError:
                    refused = UNSENDABLE
            self.results[number] = Result(LOCAL, refused)
        if not asked:
            self._finish()
        elif not fit.chunking:
            group.append(_DATA)

    def _mail(self, reply: Reply) -> None:
        if reply.ok:
            self.reset_needed = True
            return
        if reply.code == 555 and not self._pipelining and not self._again and "AUTH=<>" in self.fit.mail:
            # Some servers with AUTH (aiosmtpd 1.4) lack the parameter that comes with it (RFC 4954 section
            # 5), and it says nothing here but that nobody vouches for the sender.
            self._again = True
            mail = [parameter for parameter in self.fit.mail if parameter != "AUTH=<>"]
            self._group.insert(0, ("MAIL", command.mail(self.fit.reverse_path, mail)))
            return
        self.results = [result or Result("MAIL", reply) for result in self.results]
        if not self._pipelining:
            self._group.clear()
            self._finish()

    def _rcpt(self, reply: Reply) -> None:
        number, self._replied = self._asked[self._replied], self._replied + 1
        if reply.ok:
            self._accepted.append(number)
        elif self.results[number] is None:
            self.results[number] = Result("RCPT", reply)

    def _data(self, reply: Reply) -> None:
        if any(self.results):
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
            # It came before the end: the server gave up, for all recipients (in LMTP too).  A yes to what it
            # has not had is worth nothing.
            self.fail(state.END_OF_CONTENT, EARLY if reply.ok else reply)
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
