"""All failure policy: what each reply, error and silence means for a recipient (RFC 5321 section 4.2.1).

Every way in which an attempt can end is turned into an `Outcome` here and nowhere else.  The action is
in RFC 3464's words; the scope says what else the fault taints:

=====================================  =========  ===========
what happened                          action     scope
=====================================  =========  ===========
no host of the next hop answers        delayed    host
the DNS says no, for good              failed     host
... about a host that a person named   delayed    host
    in the configuration, or by hand
the DNS is silent                      delayed    host
greeting or EHLO refused, 4yz / 5yz    delayed /  host
on every host                          failed
MAIL, DATA or content refused 4yz      delayed    transaction
the same, 5yz                          failed     transaction
RCPT refused, 4yz                      delayed    recipient
RCPT refused, 552 without a status or  delayed    recipient
    with 5.5.3 (too many)
RCPT refused, other 5yz                failed     recipient
421 at any command                     delayed    host
... that greylists, at RCPT            delayed    transaction
connection lost or silent              delayed    host
... after the end of the content       delayed,   transaction
                                       uncertain
not SMTP at all                        delayed    host
less TLS than we demand, no login      delayed    host
less TLS than the sender demands       failed     transaction
  (REQUIRETLS), a handshake cut short  or delayed
content that cannot be read            delayed    transaction
no descriptor, memory or port left to  delayed    transaction
  connect from
no such source address on this host    delayed    host
=====================================  =========  ===========

A reply that no command allows (3yz to MAIL) is a protocol fault: delayed, 4.5.0.  Nothing but the
first digit decides, but for 421 and 552 (checklist CLI-2, CLI-6).  552 to RCPT said "too many recipients"
in servers of old (RFC 5321 section 4.5.3.1.10), which have no enhanced codes; with one, such as 5.2.2 of a
full mailbox, it is what that says.  `exit_status` gives what sysexits(3) calls the same things.

What was wrong (`kind`, by `content.classify`) never decides whether something is tried again; only how soon
(`runner.schedule`), and whether the next hop wants less at a time (`slows`).
"""

from __future__ import annotations

from mether.outcome import DONE, Outcome
from mether.reply import Reply
from mether.routing.request import domain_key
from mether.smtp import state, transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mether.client.session import Lost
    from mether.content.classify import Kind, Rules
    from mether.envelope import Recipient
    from mether.outcome import Action, Route, Scope
    from mether.smtp.transaction import Result

EX_OK: Final = 0
EX_DATAERR: Final = 65
EX_NOUSER: Final = 67
EX_NOHOST: Final = 68
EX_UNAVAILABLE: Final = 69
EX_TEMPFAIL: Final = 75
EX_PROTOCOL: Final = 76

PROTOCOL: Final = "4.5.0"
"""The status of a peer that does not keep to the protocol."""

BY_CONFIGURATION: Final = "the configuration names it"
BY_HAND: Final = "it was named by hand"
"""Who named a next hop that cannot be found."""

_NO_SUCH: Final = ("5.1.2", "5.1.10", "5.4.4")
"""No such name, none that takes mail, none with an address."""

_TOO_MANY: Final = (None, "5.5.3")
"""Statuses of 552 to RCPT where it means that there are too many recipients."""

_LOST: Final = {
    "connect": "4.4.1",
    "timeout": "4.4.2",
    "closed": "4.4.2",
    "protocol": PROTOCOL,
    "tls": "4.7.5",
    "shortage": "4.3.2",
    "source": "4.3.5",
    "withdrawn": "4.3.0",
}

_OURS: Final = ("shortage", "withdrawn")
"""Ends of a session that are none of the host's doing."""

NOWHERE: Final = ("shortage", "source")
"""Sessions that could not begin for a trouble of our own: no host was spoken to."""


def of_result(
    number: int,
    result: Result,
    *,
    remote_mta: str = "",
    at: float = 0.0,
    done: Action = "relayed",
    notifies: bool = False,
    traced: bool = False,
) -> Outcome:
    """What a server's reply to a transaction means for recipient `number`.

    `notifies` and `traced` are those of the Outcome, for a recipient that was accepted.
    """
    reply, stage = result.reply, result.stage
    if result.accepted:
        return Outcome(number, done, reply, remote_mta=remote_mta, at=at, notifies=notifies, traced=traced)
    scope: Scope = "recipient" if stage == "RCPT" else "transaction"
    action: Action
    said = True
    if reply.code == 421:
        # Who greylists by 421 means this message: others must not be kept from their second try by it.
        action, scope = "delayed", "transaction" if stage == "RCPT" and _greylisted(reply) else "host"
    elif reply.temporary or (stage == "RCPT" and reply.code == 552 and reply.status in _TOO_MANY):
        action = "delayed"
    elif reply.permanent:
        action = "failed"
    else:
        action, scope = "delayed", "transaction"
        reply, said = Reply(451, PROTOCOL, f"the server gave {reply} as its answer to {stage}"), False
    if stage == transaction.LOCAL:
        remote_mta = ""
    return Outcome(number, action, reply, scope=scope, remote_mta=remote_mta, said=said, at=at)


def _greylisted(reply: Reply) -> bool:
    from mether.content.classify import classify

    return classify(reply, "RCPT").kind == "greylisted"


def of_lost(
    number: int, lost: Lost, *, remote_mta: str = "", at: float = 0.0, content_sent: bool = False
) -> Outcome:
    """What the end of a session before its time means.

    After the end of the content was sent, nobody knows whether the message was taken.  One that we ended, as
    the message was withdrawn, or could not begin says nothing of the host.
    """
    uncertain = content_sent and lost.stage in (state.END_OF_CONTENT, state.LAST_CHUNK)
    where = f" (waiting for the reply to {_spoken(lost.stage)})" if lost.stage else ""
    return Outcome(
        number,
        "delayed",
        Reply(451, _LOST[lost.kind], f"{lost}{where}"),
        scope="transaction" if uncertain or lost.kind in _OURS else "host",
        remote_mta="" if lost.kind in NOWHERE else remote_mta,
        said=False,
        at=at,
        uncertain=uncertain,
    )


def of_host(number: int, reply: Reply, *, remote_mta: str = "", at: float = 0.0) -> Outcome:
    """What it means when no host of the next hop can be used; `reply` is the last one's, or the DNS's."""
    action: Action = "failed" if reply.permanent else "delayed"
    return Outcome(number, action, reply, scope="host", remote_mta=remote_mta, at=at)


def of_named(reply: Reply, by: str = BY_CONFIGURATION) -> Reply:
    """What the DNS's `reply` means for a next hop that a person named, in the configuration or otherwise
    (`by`: who did, for the text).

    A recipient's domain that does not exist never will get the mail.  A smart host that does not exist is a
    slip of the pen or a lost zone, all mail goes by it, and none of it must be returned for that: it waits
    until the name is put right.  A loop stays one.
    """
    if not reply.permanent or reply.status not in _NO_SUCH:
        return reply
    return Reply(451, "4.4.4", f"{reply.text}; {by}, and may be wrong")


def is_named(pinned: bool, route: Route, recipient: Recipient) -> bool:
    """Whether a person named the next hop of a recipient by hand: it is pinned, and is not the MX of the
    recipient's own domain, which the sender named."""
    return pinned and (route.transport != "smtp" or route.next_hop != domain_key(recipient.forward_path))


def of_shortfall(
    number: int,
    reply: Reply,
    *,
    remote_mta: str = "",
    said: bool = False,
    alone: bool = False,
    user: str = "",
    tried: int = 1,
    at: float = 0.0,
) -> Outcome:
    """What it means that no host gives the TLS or takes the login that this message needs.

    `alone`: other messages may need less, so the next hop itself is not at fault.  A server's refusal of our
    login, as `user`, is ours to mend, and the message waits for that.  `tried` is how many hosts were, of
    which the others may only have been down.
    """
    action: Action = "failed" if reply.permanent and alone and not said else "delayed"
    if said and reply.permanent:
        name = f" as {user}" if user else ""
        reply, said = Reply(454, "4.7.8", f"the server refused our login{name}: {reply}"), False
    if tried > 1 and not said:
        reply = Reply(reply.code, reply.status, f"{reply.text} ({tried} hosts were tried)")
    scope: Scope = "transaction" if alone else "host"
    return Outcome(number, action, reply, scope=scope, remote_mta=remote_mta, said=said, at=at)


def outweighs(reply: Reply, other: Reply, *, mend: bool = False, before: bool = False) -> bool:
    """Whether, of two hosts of a next hop that both failed, the later `reply` decides and not `other`.

    A refusal for good counts only when every host refuses so: one that is only down may take it later.  What
    a person has to mend counts more than a host that may come back by itself: `mend` and `before` tell
    whether each reply is such, as a refused login is.
    """
    return _weight(reply, mend) >= _weight(other, before)


def _weight(reply: Reply, mend: bool) -> int:
    return 2 if mend else 0 if reply.permanent else 1


def of_several(earlier: Outcome, later: Outcome) -> Outcome:
    """What it comes to that two hosts of a next hop, tried one after the other, had these outcomes.

    As of two replies, by `outweighs`; but the next hop itself is at fault only where both hosts are.
    """
    outcome, other = (later, earlier) if outweighs(later.reply, earlier.reply) else (earlier, later)
    if outcome.scope == "host" and other.scope != "host":
        return Outcome(
            outcome.recipient,
            outcome.action,
            outcome.reply,
            scope="transaction",
            remote_mta=outcome.remote_mta,
            said=outcome.said,
            at=outcome.at,
        )
    return outcome


def of_delivery(number: int, reply: Reply, *, at: float = 0.0) -> Outcome:
    """What the answer of a local delivery (a Maildir, a program) means."""
    action: Action = "delivered" if reply.ok else "failed" if reply.permanent else "delayed"
    return Outcome(number, action, reply, at=at)


def of_fault(number: int, what: str, *, at: float = 0.0) -> Outcome:
    """What trouble on our own side means: content that cannot be read, a fault in the program."""
    return Outcome(number, "delayed", Reply(451, "4.3.0", what), scope="transaction", at=at)


def kind(outcome: Outcome, rules: Rules | None = None) -> Kind | None:
    """What was wrong, by these rules or the built-in ones; None where nothing was.

    It is found anew from the reply wherever it is wanted, and stored nowhere.
    """
    if outcome.action in DONE:
        return None
    from mether.content.classify import judge

    return judge(outcome, rules).kind


def slows(outcome: Outcome, rules: Rules | None = None) -> bool:
    """Whether the host said that it gets too much from us at a time, and so wants less.

    One recipient that gets too much says nothing of the others there.
    """
    return (
        outcome.said
        and outcome.action == "delayed"
        and outcome.scope != "recipient"
        and kind(outcome, rules) == "rate limited"
    )


def exit_status(outcomes: Iterable[Outcome]) -> int:
    """The sysexits(3) status of a program that had these outcomes.

    All done: 0.  A protocol fault: 76.  Any other delayed: 75, a refused login among them: mail routers
    return what ends otherwise.  Else by the first failed: 67 for an unknown user, 68 for an unknown host, 65
    for content that cannot be sent, 69 for any other refusal, such as one by policy (5.7.z) at RCPT.
    """
    outcomes = [outcome for outcome in outcomes if outcome.action not in DONE]
    if not outcomes:
        return EX_OK
    delayed = [outcome for outcome in outcomes if outcome.action == "delayed"]
    if delayed:
        return EX_PROTOCOL if all(outcome.status == PROTOCOL for outcome in delayed) else EX_TEMPFAIL
    first = outcomes[0]
    status, code = first.status, first.reply.code
    if status in ("5.1.2", "5.1.10", "5.4.4") or code == 556:
        return EX_NOHOST
    refused = first.scope == "recipient" and code in (550, 553) and not status.startswith("5.7.")
    if status == "5.1.1" or refused:
        return EX_NOUSER
    return EX_DATAERR if status.startswith("5.6.") else EX_UNAVAILABLE


def _spoken(stage: str) -> str:
    content = (state.END_OF_CONTENT, state.LAST_CHUNK)
    return "the content" if stage in content else "the connection" if stage == state.GREETING else stage
