"""AUTH in a session: one exchange, its questions to whoever knows the logins, and what failures cost.

`Authentication` is shared by a listener's sessions; `Login` is one exchange (RFC 4954 section 4).  Its steps
come from `smtp.sasl`, the answers from `auth.authenticator`, so nothing is decided here but this: a client
that fails waits before it is told, longer each time, and after too many failures it is not heard at all
(checklist AUT-5).  Credentials are in no log.

Nothing here raises; what the client sends is answered with the reply it deserves.
"""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp import sasl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.address import ReversePath
    from mether.auth.authenticator import Authenticator
    from mether.auth.throttle import Throttle
    from mether.net.tls import Security
    from mether.routing.networks import Networks
    from mether.smtp.sasl import Answer, ServerExchange, Step

BLOCKED: Final = Reply(454, "4.7.0", "too many failed logins from your network; please try again later")
TLS_FIRST: Final = Reply(530, "5.7.0", "must issue a STARTTLS command first")
TOO_MANY: Final = Reply(421, "4.7.0", "too many failed logins; closing")


class Authentication:
    """Who may log in, and how.

    `clear_from` are the networks whose clients may send passwords without TLS; `may_use` says whether a
    login may use a reverse-path; `later` calls something after so many seconds; `clock` gives seconds
    that never go back; `max_failures` ends a session.
    """

    __slots__ = ("authenticator", "clear_from", "clock", "later", "max_failures", "may_use", "throttle")

    def __init__(
        self,
        authenticator: Authenticator,
        throttle: Throttle,
        *,
        clear_from: Networks,
        may_use: Callable[[str, ReversePath], bool],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        max_failures: int,
    ) -> None:
        self.authenticator = authenticator
        self.throttle = throttle
        self.clear_from = clear_from
        self.may_use = may_use
        self.later = later
        self.clock = clock
        self.max_failures = max_failures

    def mechanisms(self, address: str, security: Security | None) -> tuple[str, ...]:
        """What a client at that address is offered now: nothing in clear, unless its network is trusted."""
        if not self.heard(address, security):
            return ()
        return self.authenticator.mechanisms(
            secure=True,
            certificate=_certificate(security) is not None,
            binding=security is not None and security.end_point != b"",
        )

    def heard(self, address: str, security: Security | None) -> bool:
        """Whether a client at that address may log in at all now."""
        return security is not None or address in self.clear_from


class Login:
    """One exchange with a client.

    `decided` is called with a reply that could not be given at once, after `logged_in` with the login where
    it succeeded, or `failed` where the credentials were wrong.  `mechanism`, and the login as `name`, are
    what the client says, "" before it has.
    """

    __slots__ = (
        "_address",
        "_decided",
        "_exchange",
        "_failed",
        "_logged_in",
        "_shared",
        "mechanism",
        "name",
        "over",
    )

    def __init__(
        self,
        shared: Authentication,
        address: str,
        *,
        decided: Callable[[Reply], None],
        logged_in: Callable[[str], None],
        failed: Callable[[Reply], Reply],
    ) -> None:
        self._shared = shared
        self._address = address
        self._decided = decided
        self._logged_in = logged_in
        self._failed = failed
        self._exchange: ServerExchange | None = None
        self.mechanism = self.name = ""
        self.over = False

    def begin(self, argument: str, security: Security | None) -> Reply | None:
        """Answer AUTH; None when that takes time."""
        shared = self._shared
        mechanism, space, initial = argument.partition(" ")
        if mechanism.upper() in sasl.MECHANISMS:
            self.mechanism = mechanism.upper()
        if not shared.heard(self._address, security):
            return TLS_FIRST
        if self._blocked():
            return BLOCKED
        try:
            self._exchange = shared.authenticator.exchange(
                mechanism,
                secure=True,
                binding=(security.end_point or None) if security is not None else None,
                certificate=_certificate(security),
            )
            return self._step(self._exchange.begin(sasl.decode_initial(initial.strip()) if space else None))
        except sasl.SaslError as error:
            return error.reply

    def respond(self, line: str) -> Reply | None:
        """Answer the client's next line; None when that takes time."""
        assert self._exchange is not None
        if line == "*":
            return sasl.CANCELLED
        if self._blocked():
            return BLOCKED
        try:
            return self._step(self._exchange.respond(sasl.decode(line)))
        except sasl.SaslError as error:
            return error.reply

    def _blocked(self) -> bool:
        """Whether the address may not try now: asked at every step, since guesses on many connections at once
        all begin before the first of them has failed.  Of those too many none is told right from wrong."""
        return self._shared.throttle.blocked(self._address, self._shared.clock())

    def _step(self, step: Step) -> Reply | None:
        if isinstance(step, sasl.Challenge):
            return step.reply
        if isinstance(step, sasl.Done):
            self._shared.throttle.succeeded(self._address, self._shared.clock())
            self._logged_in(step.login)
            return step.reply
        if isinstance(step, sasl.Failed):
            return self._refuse(step.reply)
        self.name = step.login
        self._shared.authenticator.ask(step, self._answered, remote=self._address)
        return None

    def _answered(self, answer: Answer) -> None:
        if self.over:
            return
        assert self._exchange is not None
        reply = BLOCKED if self._blocked() else self._step(self._exchange.answer(answer))
        if reply is not None:
            self._decided(reply)

    def _refuse(self, reply: Reply) -> Reply | None:
        """Wrong credentials are answered late, so that guessing takes its time."""
        if reply.code != 535:
            return reply
        wait = self._shared.throttle.failed(self._address, self._shared.clock())
        reply = self._failed(reply)
        if not wait:
            return reply
        self._shared.later(wait, lambda: None if self.over else self._decided(reply))
        return None


def _certificate(security: Security | None) -> str | None:
    """The name that a client's verified certificate gives it: its first address, or its common name."""
    if security is None or not security.verified or security.peer is None:
        return None
    peer = security.peer
    return (peer.emails[0] if peer.emails else peer.common_name) or None
