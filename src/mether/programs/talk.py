"""One message to one target over blocking sockets: what `smtp` does once it knows what to say.

A `Talk` goes from host to host, and through a list of targets, until one takes a transaction, and gives an
outcome for every recipient; it decides nothing about failures, which is `relay.failure`'s, nor about TLS,
which is `relay.tlspolicy`'s.  With `probe` nothing is sent: the session stops after RCPT, and an accepted
recipient's outcome has the reply to that.

TLS, authentication and the DNS are imported where they are used: a literal host in clear pays for none.
"""

from __future__ import annotations

from mether.client.blocking import BlockingClient
from mether.client.session import Lost, Timeouts
from mether.outcome import Outcome
from mether.programs import places
from mether.relay import failure
from mether.relay.outgoing import Outgoing
from mether.reply import Reply
from mether.smtp import command, state
from mether.smtp.limits import MAX_RECIPIENTS
from mether.smtp.transaction import Result, Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from mether.client.session import Source
    from mether.envelope import Envelope
    from mether.net.tls import Terms
    from mether.programs.places import Place
    from mether.queue.content import Content
    from mether.relay.tlspolicy import Need
    from mether.routing.target import Target, Targets
    from mether.smtp.fit import Fit
    from mether.smtp.sasl_client import Credentials

    Watch = Callable[[str, str], None]
    Judge = Callable[[int], Outcome]


_CLEAR_PORTS: Final = (25, 587)
"""The ports whose servers greet in clear (RFC 5321, RFC 6409)."""


class Manner:
    """How to talk: the name for EHLO by our own address (`name`), what is shown (`watch`), `lmtp`, `probe`.

    `level` is the TLS level that was asked for, None for none in particular; with `implicit` it begins with
    the connection, whatever the port; `ca` is a file of authorities; `credentials` what to log in with;
    `sources` are the addresses to connect from, by their family.
    """

    __slots__ = ("ca", "credentials", "implicit", "level", "lmtp", "name", "probe", "sources", "watch")

    def __init__(
        self,
        name: Callable[[str], str],
        watch: Watch,
        *,
        lmtp: bool = False,
        probe: bool = False,
        level: str | None = None,
        implicit: bool = False,
        ca: str | None = None,
        credentials: Credentials | None = None,
        sources: Mapping[int, str] | None = None,
    ) -> None:
        self.name = name
        self.watch = watch
        self.lmtp = lmtp
        self.probe = probe
        self.level = level
        self.implicit = implicit
        self.ca = ca
        self.credentials = credentials
        self.sources = sources


def _random() -> float:
    """A number from 0 up to 1, of which only weights have need."""
    import random

    return random.random()


def _nowhere(reply: Reply) -> Judge:
    return lambda number: failure.of_host(number, reply)


class _Stop(Exception):
    """This host will not do; `judge` says what that means for a recipient."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge


class Talk:
    """The message of `envelope` to `target`, in this `manner`."""

    def __init__(
        self,
        target: Target | Targets,
        envelope: Envelope,
        content: Content,
        eight_bit: bool,
        manner: Manner,
    ) -> None:
        self._targets = target
        self._envelope = envelope
        self._outgoing = Outgoing(envelope, b"", content, eight_bit=eight_bit)
        self._manner = manner
        self._timeouts = Timeouts()

    def outcomes(self) -> list[Outcome]:
        """An outcome for every recipient."""
        numbers = range(len(self._envelope.recipients))
        last: Judge | None = None
        for target in self._targets.order(_random):
            judge: Judge
            places_of = places.find(target, self._timeouts.connect, self._manner.sources)
            while True:
                try:
                    place = next(places_of, None)
                    if place is None:
                        break
                    return self._host(place)
                except _Stop as stop:
                    judge = stop.judge
                except places.NoHost as error:
                    judge = _nowhere(error.reply)
                if last is None or failure.outweighs(judge(0).reply, last(0).reply):
                    last = judge
        assert last is not None
        return [last(number) for number in numbers]

    def _host(self, place: Place) -> list[Outcome]:
        """Try one host.  Raises _Stop where the next one may be tried."""
        try:
            client = self._session(place)
            try:
                outcomes = self._probe(client, place) if self._manner.probe else self._send(client, place)
            except BaseException:
                client.close()
                raise
        except Lost as error:
            lost = error
            remote = place.shown if lost.kind != "connect" else ""
            raise _Stop(lambda number: failure.of_lost(number, lost, remote_mta=remote)) from None
        client.quit()
        return outcomes

    def _session(self, place: Place) -> BlockingClient:
        """A session ready for MAIL.  Raises Lost or _Stop."""
        need = self._need(place)
        try:
            client = self._greeted(place, need)
        except Lost as error:
            if not error.tls or need is None:
                raise
            if not need.fall_back:
                from mether.relay import tlspolicy

                reply = tlspolicy.failed(need, error.tls, str(error))
                raise self._short(need, reply, place) from None
            self._manner.watch("--", f"{error}; once more, in clear")
            client = self._greeted(place, None)
        credentials = self._manner.credentials
        if credentials is not None:
            reply, said = client.login(credentials, host=place.host, port=place.port)
            if not reply.ok:
                client.quit()
                user = credentials.user
                raise _Stop(
                    lambda number: failure.of_shortfall(
                        number, reply, remote_mta=place.shown, said=said, user=user
                    )
                )
        return client

    def _need(self, place: Place) -> Need | None:
        """What TLS the connection needs; None: none at all."""
        manner = self._manner
        if not place.port or manner.level == "none":
            return None
        from mether.relay import tlspolicy

        stays = place.address.startswith("127.") or place.address == "::1"
        need = tlspolicy.need(
            tlspolicy.Policy(manner.level or "may", given=manner.level is not None or stays),
            place.target,
            place.host,
            place.port,
            requiretls=tlspolicy.asks(self._envelope, lmtp=manner.lmtp),
            login=manner.credentials is not None,
        )
        if manner.implicit:
            need.implicit, need.fall_back = True, False
        return need

    def _greeted(self, place: Place, need: Need | None) -> BlockingClient:
        """A session that has said hello, under TLS as the need is."""
        manner = self._manner
        manner.watch("==", f"connecting to {place.shown}")
        try:
            connection = place.connect()
        except TimeoutError:
            raise Lost("connect", "", f"connecting to {place.shown} took too long") from None
        except OSError as error:
            raise Lost("connect", "", f"connecting to {place.shown}: {error.strerror or error}") from None
        client = BlockingClient(connection, self._timeouts, manner.watch)
        try:
            name = manner.name(connection.local)
            if need is not None and need.implicit:
                client.shake_hands(self._terms(need))
            reply = client.hello(name, lmtp=manner.lmtp)
            if reply.ok and need is not None and not need.implicit:
                if "STARTTLS" in client.protocol.offer and client.starttls(self._terms(need)).ok:
                    reply = client.hello(name, lmtp=manner.lmtp)
                elif not need.fall_back:
                    self._lacks_tls(client, place, need)
        except BaseException as error:
            client.close()
            if isinstance(error, Lost) and self._maybe_tls(error, place, need):
                raise Lost(
                    error.kind, error.stage, f"{error}; does it begin with TLS (--tls-on-connect)?"
                ) from None
            raise
        if not reply.ok:
            client.quit()
            raise _Stop(lambda number: failure.of_host(number, reply, remote_mta=place.shown))
        return client

    def _maybe_tls(self, lost: Lost, place: Place, need: Need | None) -> bool:
        """Whether a server that said nothing may wait for TLS to begin: one at an unusual port."""
        silent = lost.stage == state.GREETING and lost.kind in ("timeout", "closed")
        implicit = need is not None and need.implicit
        return silent and not implicit and not self._manner.lmtp and place.port not in (0, *_CLEAR_PORTS)

    def _lacks_tls(self, client: BlockingClient, place: Place, need: Need) -> None:
        from mether.relay import tlspolicy

        client.quit()
        raise self._short(need, tlspolicy.not_offered(need), place)

    @staticmethod
    def _short(need: Need, reply: Reply, place: Place) -> _Stop:
        """The host gives less TLS than is needed; only what the message itself demands is for good."""
        alone = need.required
        return _Stop(lambda number: failure.of_shortfall(number, reply, remote_mta=place.shown, alone=alone))

    def _terms(self, need: Need) -> Terms:
        from mether.net.tls import ClientTls
        from mether.net.tlserror import TlsError

        try:
            return ClientTls(ca=self._manner.ca).terms(
                need.level,
                server_name=need.server_name,
                names=need.names,
                fingerprints=need.fingerprints,
            )
        except TlsError as error:
            raise Lost("tls", "", str(error), error.kind) from None

    def _fit(self, client: BlockingClient, start: int) -> tuple[Fit, bytes, Source, int]:
        """What to say for the recipients from `start` on, and for how many of them."""
        recipients = self._envelope.recipients
        offer = client.protocol.offer
        # Past what the server said it takes in a session its refusals are the answer.
        count = offer.budget.room(recipients, start) or MAX_RECIPIENTS
        part = recipients[start : start + count]
        offer.budget.spend(part)
        made, trace, source = self._outgoing.fit(
            part,
            offer,
            authenticated=self._manner.credentials is not None,
            secured=client.secure is not None,
            lmtp=self._manner.lmtp,
        )
        return made, trace, source, len(part)

    def _send(self, client: BlockingClient, place: Place) -> list[Outcome]:
        """Send to all recipients.

        Raises Lost only when nothing was decided by this host yet, and _Stop where it lacks an extension that
        the next one may have.
        """
        outcomes: list[Outcome] = []
        total = len(self._envelope.recipients)
        start = 0
        while start < total:
            made, trace, source, count = self._fit(client, start)
            transaction = Transaction(made, client.protocol.offer, lmtp=self._manner.lmtp)
            lost: Lost | None = None
            try:
                client.transact(transaction, trace, source)
                if transaction.reset_needed and start + count < total:
                    reply = client.ask("RSET", command.plain("RSET"))
                    if not reply.ok:
                        raise Lost("protocol", "RSET", f"the server refuses RSET: {reply}")
            except Lost as error:
                if not outcomes and not any(transaction.results) and not transaction.content_sent:
                    raise
                lost = error
            done = "delivered" if self._manner.lmtp else "relayed"
            for number, result in enumerate(transaction.results, start):
                if result is not None:
                    outcomes.append(failure.of_result(number, result, remote_mta=place.shown, done=done))  # type: ignore[arg-type]
                else:
                    assert lost is not None
                    outcomes.append(
                        failure.of_lost(
                            number, lost, remote_mta=place.shown, content_sent=transaction.content_sent
                        )
                    )
            start += count
            if made.lacking and count == total:
                # Another host may have the extension that this one lacks (RFC 5321 section 2.2.3).
                client.quit()
                raise _Stop(outcomes.__getitem__)
            if lost is not None:
                return outcomes + [
                    failure.of_lost(number, lost, remote_mta=place.shown) for number in range(start, total)
                ]
        return outcomes

    def _probe(self, client: BlockingClient, place: Place) -> list[Outcome]:
        """Ask MAIL and RCPT, and send nothing."""
        outcomes: list[Outcome] = []
        start = 0
        while start < len(self._envelope.recipients):
            made, _, _, count = self._fit(client, start)
            results = self._asked(client, made)
            for number, result in enumerate(results, start):
                if result.reply.ok:
                    outcomes.append(Outcome(number, "relayed", result.reply, remote_mta=place.shown))
                else:
                    outcomes.append(failure.of_result(number, result, remote_mta=place.shown))
            start += count
        return outcomes

    def _asked(self, client: BlockingClient, made: Fit) -> list[Result]:
        """The reply to each RCPT of one transaction, or what kept it from being asked."""
        transaction = Transaction(made, client.protocol.offer)
        results = transaction.results
        try:
            for verb, line in transaction.asking():
                reply = client.ask(verb, line)
                if verb == "MAIL" and not reply.ok:
                    return [result or Result("MAIL", reply) for result in results]
                if verb == "RCPT":
                    results[results.index(None)] = Result("RCPT", reply)
        finally:
            if client.protocol.state in ("MAIL", "RCPT"):
                client.ask("RSET", command.plain("RSET"))
        return [result for result in results if result is not None]
