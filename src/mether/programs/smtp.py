"""smtp: the talker.  One message on standard input, one transaction, one outcome for each recipient."""

from __future__ import annotations

import sys

from mether.client.blocking import BlockingClient
from mether.client.session import Lost, Timeouts, own_name
from mether.net import blocking
from mether.programs import errors, message
from mether.programs.operands import check_helo, envelope_of
from mether.programs.options import JSON, Option, Program, parse
from mether.relay import failure
from mether.relay.outgoing import Outgoing
from mether.reply import Reply
from mether.routing import target as targets
from mether.setup import locate
from mether.smtp import command
from mether.smtp.limits import MAX_RECIPIENTS
from mether.smtp.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mether.envelope import Envelope
    from mether.outcome import Outcome
    from mether.queue.content import Content
    from mether.routing.target import Target

    Watch = Callable[[str, str], None]
    Where = tuple[str, Callable[[], blocking.Blocking]]

PROGRAM = Program(
    "smtp",
    ("[-h HELOHOST] [-v] [--json] TARGETHOST SENDER RECIPIENT...",),
    """Sends the message on standard input to TARGETHOST, as being from SENDER, for each RECIPIENT.  Lines may
    end in LF or CRLF.  A line on standard output tells each recipient's outcome.

    TARGETHOST is an IP address, [HOST], HOST:PORT, a name without a dot or in the hosts file, all of which
    are connected to directly; any other domain is looked up by MX.  unix:PATH and lmtp:HOST:PORT
    speak LMTP.  SENDER may be <> or empty for the null reverse-path.

    A recipient that is refused never stops the others.""",
    (
        Option("h", "", "say this name in EHLO instead of the host's own", value="HELOHOST"),
        Option("v", "verbose", "show the dialogue on standard error"),
        JSON,
    ),
    exits=(
        (0, "all recipients were accepted"),
        (64, "the arguments are wrong"),
        (65, "the message cannot be sent as it is"),
        (67, "a recipient is unknown"),
        (68, "the host is unknown"),
        (69, "another refusal"),
        70,
        (75, "a recipient is deferred: the same may succeed later"),
        (76, "the server violates the protocol"),
        78,
    ),
)


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("smtp", _work, argv)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    target, envelope = envelope_of(given.operands)
    # The hosts file is asked first, so that the arguments are all judged before anything is read.
    basics = locate.basics(given.text("config"), given.text("spool"))
    helo = given.text("h")
    if helo is not None:
        check_helo(helo)
    content, eight_bit = message.content(message.read(message.octets(0), message.Scratch))

    def watch(direction: str, text: str) -> None:
        sys.stderr.write(f"{direction} {text}\n")

    outcomes = _Talk(
        target,
        envelope,
        content,
        eight_bit,
        lambda local: helo or own_name(basics.hostname, local),
        watch if given.flag("verbose") else lambda direction, text: None,
    ).outcomes()
    try:
        _show(envelope, outcomes, given.flag("json"))
        sys.stdout.flush()
    except OSError as error:
        # What was sent stays sent: another status would have the caller send it again.
        errors.complain("smtp", f"the outcome cannot be printed: {error.strerror or error}")
        errors.silence()
    return failure.exit_status(outcomes)


class _Talk:
    """One message to one target: goes from host to host until one takes a transaction."""

    def __init__(
        self,
        target: Target,
        envelope: Envelope,
        content: Content,
        eight_bit: bool,
        name: Callable[[str], str],
        watch: Watch,
    ) -> None:
        self._target = target
        self._envelope = envelope
        self._content = content
        self._eight_bit = eight_bit
        self._name = name
        self._watch = watch
        self._timeouts = Timeouts()

    def outcomes(self) -> list[Outcome]:
        """An outcome for every recipient."""
        numbers = range(len(self._envelope.recipients))
        last: Callable[[int], Outcome] | None = None
        try:
            for host, connect in self._hosts():
                outcomes = self._host(host, connect)
                if isinstance(outcomes, list):
                    return outcomes
                if last is None or failure.outweighs(outcomes(0).reply, last(0).reply):
                    last = outcomes
        except _NoHost as error:
            reply = error.reply
            last = lambda number: failure.of_host(number, reply)  # noqa: E731
        assert last is not None
        return [last(number) for number in numbers]

    def _host(
        self, host: str, connect: Callable[[], blocking.Blocking]
    ) -> list[Outcome] | Callable[[int], Outcome]:
        """Try one host: the outcomes, or, where the next host may be tried, what this one's failure means."""
        self._watch("==", f"connecting to {host}")
        try:
            connection = connect()
        except TimeoutError:
            lost = Lost("connect", "", f"connecting to {host} took too long")
            return lambda number: failure.of_lost(number, lost)
        except OSError as error:
            lost = Lost("connect", "", f"connecting to {host}: {error.strerror or error}")
            return lambda number: failure.of_lost(number, lost)
        client = BlockingClient(connection, self._timeouts, self._watch)
        try:
            reply = client.hello(self._name(connection.local), lmtp=self._target.lmtp)
            if not reply.ok:
                client.quit()
                return lambda number: failure.of_host(number, reply, remote_mta=host)
            outcomes = self._transactions(client, host)
        except Lost as error:
            client.close()
            lost = error
            return lambda number: failure.of_lost(number, lost, remote_mta=host)
        client.quit()
        return outcomes

    def _transactions(self, client: BlockingClient, host: str) -> list[Outcome] | Callable[[int], Outcome]:
        """Send to all recipients: the outcomes, or, where this host lacks an extension that the next one may
        have, what that means.  Raises Lost only when nothing was decided by this host yet."""
        outcomes: list[Outcome] = []
        recipients = self._envelope.recipients
        outgoing = Outgoing(self._envelope, b"", self._content, eight_bit=self._eight_bit)
        offer = client.protocol.offer
        start = 0
        while start < len(recipients):
            # Past what the server said it takes in a session its refusals are the answer.
            count = offer.budget.room(recipients, start) or MAX_RECIPIENTS
            part = recipients[start : start + count]
            offer.budget.spend(part)
            made, trace, source = outgoing.fit(
                part, offer, secured=client.secure is not None, lmtp=self._target.lmtp
            )
            transaction = Transaction(made, offer, lmtp=self._target.lmtp)
            lost: Lost | None = None
            try:
                client.transact(transaction, trace, source)
                if transaction.reset_needed and start + count < len(recipients):
                    client.ask("RSET", command.plain("RSET"))
            except Lost as error:
                if not outcomes and not any(transaction.results) and not transaction.content_sent:
                    raise
                lost = error
            done = "delivered" if self._target.lmtp else "relayed"
            for number, result in enumerate(transaction.results, start):
                if result is not None:
                    outcomes.append(failure.of_result(number, result, remote_mta=host, done=done))  # type: ignore[arg-type]
                else:
                    assert lost is not None
                    outcomes.append(
                        failure.of_lost(number, lost, remote_mta=host, content_sent=transaction.content_sent)
                    )
            if lost is not None:
                rest = range(start + len(part), len(recipients))
                return outcomes + [failure.of_lost(number, lost, remote_mta=host) for number in rest]
            if made.lacking and len(part) == len(recipients):
                return outcomes.__getitem__
            start += len(part)
        return outcomes

    def _hosts(self) -> Iterator[Where]:
        """The hosts to try, each with what connects to it.  Raises _NoHost when there is none."""
        target, timeout = self._target, self._timeouts.connect
        if target.kind == "unix":
            yield target.host, lambda: blocking.connect_unix(target.host, timeout)
            return
        if targets.needs_mx(target, _in_hosts_file):
            yield from self._by_mx(target)
            return
        try:
            found = blocking.addresses(target.host, target.port)
        except OSError as error:
            import _socket

            # Only "no such name" is for good; the rest is the name service's trouble.
            gone = isinstance(error, _socket.gaierror) and error.errno == _socket.EAI_NONAME
            code, status = (550, "5.1.2") if gone else (451, "4.4.3")
            raise _NoHost(Reply(code, status, f"the host {target.host}: {error.strerror or error}")) from None
        for one in found:
            yield _shown(target.host, one[1]), _connector(one, target.port, timeout)

    def _by_mx(self, target: Target) -> Iterator[Where]:
        """The hosts of a domain; only here is the DNS library imported."""
        import _socket
        import asyncio
        import random

        from mether.dns import mx
        from mether.dns.resolver import Resolver

        try:
            candidates = asyncio.run(mx.lookup(target.host, Resolver(), random.random))
        except mx.DnsFailure as error:
            raise _NoHost(error.reply) from None
        for candidate in candidates:
            for address in candidate.addresses:
                family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
                yield (
                    _shown(candidate.host, address),
                    _connector((family, address), target.port, self._timeouts.connect),
                )


class _NoHost(Exception):
    """There is no host to connect to; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def _connector(one: tuple[int, str], port: int, timeout: float) -> Callable[[], blocking.Blocking]:
    return lambda: blocking.connect([one], port, timeout)


def _shown(host: str, address: str) -> str:
    return f"[{address}]" if host == address else f"{host} [{address}]"


def _in_hosts_file(name: str) -> bool:
    from mether.dns.hosts import Hosts

    return "." not in name or name in Hosts()


def _show(envelope: Envelope, outcomes: list[Outcome], as_json: bool) -> None:
    if as_json:
        import json
    for outcome in outcomes:
        recipient = envelope.recipients[outcome.recipient].forward_path
        if as_json:
            fields = {
                "recipient": str(recipient),
                "action": outcome.action,
                "status": outcome.status,
                "code": outcome.reply.code,
                "reply": str(outcome.reply),
                "remote_mta": outcome.remote_mta,
                "uncertain": outcome.uncertain,
            }
            print(json.dumps(fields))
        else:
            doubt = "; it may have been delivered" if outcome.uncertain else ""
            print(f"{recipient}: {outcome.action} ({outcome.reply}){doubt}")
