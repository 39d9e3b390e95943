"""What the soak sends mail to, and where each message has to end: a table, and pure functions of it.

`HOSTS` are the servers of others, by what is wrong with them (exchangers.py plays them); `KINDS` are the
destinations, each with its records in the DNS and its `End`s: for each recipient that is named, who gets the
message, whose failure is reported with which status, what NOTIFY=SUCCESS has as its answer, or with which
reply the recipient is refused.  ``{n}`` in an address is the message's number.

`expected` holds that against one message's sender, listener and NOTIFY; judge.py compares it with what came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from network import NETWORK

HOSTS = {
    "good1": f"{NETWORK}.1",
    "good2": f"{NETWORK}.2",
    "good3": f"{NETWORK}.3",
    "good4": f"{NETWORK}.4",
    "dsn": f"{NETWORK}.5",  # takes everything, and NOTIFY with it
    "dead": f"{NETWORK}.9",  # nobody listens
    "busy": f"{NETWORK}.10",  # greets with 421
    "closed": f"{NETWORK}.11",  # greets with 554
    "mute": f"{NETWORK}.12",  # says nothing, and hangs up after a while
    "garbage": f"{NETWORK}.13",  # is no SMTP server
    "hangs": f"{NETWORK}.14",  # hangs up at MAIL
    "leaves": f"{NETWORK}.15",  # 421 at MAIL
    "drops": f"{NETWORK}.16",  # hangs up in the middle of the content, once for each sender
    "doubtful": f"{NETWORK}.17",  # hangs up at the end of the content without a reply, once for each sender
    "moody": f"{NETWORK}.18",  # 421 at RCPT, one time in three
    "grey": f"{NETWORK}.19",  # 451 4.7.1 at RCPT, once for each recipient
    "strict": f"{NETWORK}.20",  # 451 4.7.1 at RCPT, always
    "full": f"{NETWORK}.21",  # 452 4.2.2 at RCPT, always
    "unknown": f"{NETWORK}.22",  # 550 5.1.1 at RCPT, always
    "half": f"{NETWORK}.23",  # 550 5.1.1 at RCPT for those that begin with bad
    "censor": f"{NETWORK}.24",  # 554 5.6.0 to the content
    "few": f"{NETWORK}.25",  # one recipient for each transaction, 452 4.5.3 for more
    "slow": f"{NETWORK}.26",  # greets after a while
    "senders": f"{NETWORK}.30",  # where reports go
    "refusing": f"{NETWORK}.31",  # and where they are refused, 550 5.1.1
    "lmtp": f"{NETWORK}.32",
    "us": f"{NETWORK}.99",
}
US = "mx.soak.test"
POSTMASTER = "postmaster@local.test"
OWNER = "owner@senders.test"
LIST = "owner-list@local.test"
SRS = "SRS0=*@srs.test"


class End:
    """What becomes of one recipient, `address`, that a client names.

    `to` are (place, address[, reverse-path]) of whom it is delivered to: a pattern of HOSTS, or "maildir",
    "pipe"; `failed` are (address, status) of those who fail.  `success` is (action, address) of the answer
    to NOTIFY=SUCCESS.  `rcpt` is the beginning of the reply that refuses it at once, `desk` of the one at
    the submission listener.  What `waits` may be reported as delayed, what `expires` must be.  The failures
    of a `list` are its owner's.  What is `held` is so until it is
    released at the end.
    """

    __slots__ = ("address", "desk", "expires", "failed", "held", "list", "rcpt", "success", "to", "waits")

    def __init__(
        self,
        address: str,
        to: Sequence[tuple[str, ...]] = (),
        *,
        failed: Sequence[tuple[str, str]] = (),
        success: tuple[str, str] | None = None,
        rcpt: str = "",
        desk: str = "",
        waits: bool = False,
        expires: bool = False,
        list: bool = False,
        held: bool = False,
    ) -> None:
        self.address = address
        self.to = to
        self.failed = failed
        self.success = success
        self.rcpt = rcpt
        self.desk = desk
        self.waits = waits
        self.expires = expires
        self.list = list
        self.held = held


class Kind:
    """A destination: its `name`, its `ends`, and the `records` of its domains.  One that is `alone` has
    messages of its own; one for the `patient` is not asked of the submission listener, which would wait for
    the DNS; one in `utf8` needs SMTPUTF8.  What is `here` may be sent by anybody, and nothing else."""

    __slots__ = ("alone", "ends", "here", "name", "patient", "records", "utf8")

    def __init__(
        self,
        name: str,
        ends: Sequence[End],
        records: dict[str, list[str]] | None = None,
        *,
        alone: bool = False,
        patient: bool = False,
        utf8: bool = False,
        here: bool = False,
    ) -> None:
        self.here = here
        self.name = name
        self.ends = ends
        self.records = records or {}
        self.alone = alone
        self.patient = patient
        self.utf8 = utf8


def _mx(*hosts: str) -> list[str]:
    """MX records: each host worse than the one before; those joined by "=" are equal."""
    return [
        f"MX {10 * rank} {host}.hosts.test"
        for rank, equals in enumerate(hosts, 1)
        for host in equals.split("=")
    ]


def _sent(domain: str, place: str, records: list[str], **more: bool) -> Kind:
    """A domain that takes mail, at a host of that pattern."""
    address = f"r{{n}}@{domain}.test"
    patient = more.pop("patient", False)
    end = End(address, [(place, address)], success=None if place == "dsn" else ("relayed", address), **more)  # type: ignore[arg-type]
    return Kind(domain, [end], {f"{domain}.test": records}, patient=patient)


def _fails(domain: str, status: str, records: list[str] | None, *, desk: str = "", **more: bool) -> Kind:
    """A domain that does not."""
    address = f"r{{n}}@{domain}.test"
    patient = more.pop("patient", False)
    end = End(address, failed=[(address, status)], desk=desk, **more)  # type: ignore[arg-type]
    return Kind(domain, [end], {} if records is None else {f"{domain}.test": records}, patient=patient)


def _local(address: str, to: Sequence[tuple[str, ...]] = (), *, here: bool = True, **more: object) -> Kind:
    """An address that a route takes, here unless told otherwise."""
    return Kind(address.replace("{n}", ""), [End(address, to, **more)], here=here)  # type: ignore[arg-type]


def _got(
    address: str,
    place: str,
    really: str = "",
    *reverse: str,
    action: str = "delivered",
    waits: bool = False,
    here: bool = True,
) -> Kind:
    """An address that one gets, by a Maildir, a program, LMTP, an alias or a host that a route names."""
    who = really or address
    return _local(address, [(place, who, *reverse)], success=(action, who), waits=waits, here=here)


KINDS = [
    # Mail exchangers, well and not.
    *(_sent(f"healthy{i}", f"good{1 + i % 4}", _mx(f"good{1 + i % 4}")) for i in range(1, 7)),
    *(_sent(f"equal{i}", "good?", _mx("good1=good2=good3")) for i in (1, 2)),
    _sent("equaldead", "good?", _mx("dead=good1=good2")),
    _sent("tracing", "dsn", _mx("dsn")),
    _sent("slowly", "slow", _mx("slow")),
    *(_sent(f"first{i}", "good1", _mx("dead", "good1")) for i in (1, 2)),
    *(_sent(f"after-{one}", "good2", _mx(one, "good2")) for one in ("busy", "closed", "garbage")),
    *(_sent(f"after-{one}", "good3", _mx(one, "good3")) for one in ("hangs", "leaves")),
    _sent("after-mute", "good4", _mx("mute", "good4"), waits=True),
    _sent("ghost", "good4", ["MX 10 nobody.hosts.test", "MX 20 good4.hosts.test"]),
    *(_sent(one, one, _mx(one), waits=True) for one in ("drops", "doubtful")),
    _sent("moody", "moody", _mx("moody"), waits=True),
    *(_sent(f"grey{i}", "grey", _mx("grey"), waits=True) for i in (1, 2)),
    _fails("refused", "5.3.2", _mx("closed=closed2")),
    _fails("unknown1", "5.1.1", _mx("unknown")),
    _fails("censored", "5.6.0", _mx("censor")),
    _fails("alldead", "4.4.1", _mx("dead", "dead2"), expires=True),
    _fails("full", "4.2.2", _mx("full"), expires=True),
    Kind(
        "half",
        [
            End("r{n}@half.test", [("half", "r{n}@half.test")], success=("relayed", "r{n}@half.test")),
            End("bad{n}@half.test", failed=[("bad{n}@half.test", "5.1.1")]),
        ],
        {"half.test": _mx("half")},
    ),
    Kind(
        "few",
        [
            End(
                f"r{{n}}.{i}@few.test",
                [("few", f"r{{n}}.{i}@few.test")],
                success=("relayed", f"r{{n}}.{i}@few.test"),
                waits=True,
            )
            for i in range(4)
        ],
        {"few.test": _mx("few")},
    ),
    # The DNS.
    *(_sent(f"implicit{i}", "good1", [f"A {HOSTS['good1']}"]) for i in (1, 2)),
    *(_fails(f"null{i}", "5.1.10", ["MX 0 .", f"A {HOSTS['good1']}"], desk="556 5.1.10") for i in (1, 2)),
    *(_fails(f"nowhere{i}", "5.1.2", None, desk="550 5.1.2") for i in (1, 2)),
    _fails("empty", "5.4.4", ["TXT nothing"], desk="550 5.4.4"),
    _fails("hostless", "5.4.4", ["MX 10 nobody.hosts.test", f"A {HOSTS['good1']}"], desk="550 5.4.4"),
    *(_sent(f"later{i}", "good1", _mx("good1"), waits=True, patient=True) for i in (1, 2)),
    *(_sent(f"slow{i}", "good2", _mx("good2"), waits=True, patient=True) for i in (1, 2)),
    _sent("held-host", "good3", ["MX 10 held.hosts.test"], waits=True),
    _fails("broken", "4.4.3", ["TXT nothing"], expires=True, patient=True),
    _fails("silent", "4.4.3", ["TXT nothing"], expires=True, patient=True),
    _sent("cut", "good?", _mx("good1=good2=good3=good4")),
    _sent("alias", "good2", ["CNAME healthy1.test"]),
    _fails("circle1", "4.4.3", ["CNAME circle2.test"], expires=True, patient=True),
    _sent("renamed", "good3", ["MX 10 cname.hosts.test"]),
    _fails("numeric1", "5.4.4", [f"MX 10 {HOSTS['good1']}"], desk="550 5.4.4"),
    _sent("numeric2", "good2", [f"MX 10 {HOSTS['good1']}", *_mx("good2")]),
    _fails("zero", "5.4.4", ["A 0.0.0.0"], desk="550 5.4.4"),
    _fails("loop1", "5.4.6", [f"MX 10 {US}", *_mx("good1")], desk="554 5.4.6"),
    _fails("loop2", "5.4.6", ["MX 10 other-name.hosts.test"], desk="554 5.4.6"),
    _sent("worse", "good4", ["MX 10 good4.hosts.test", f"MX 20 {US}"]),
    _sent("sixfour", "good1", ["MX 10 sixfour.hosts.test"]),
    _fails("six", "4.4.1", ["MX 10 six.hosts.test"], expires=True),
    _got(f"r{{n}}@[{HOSTS['good1']}]", "good1", action="relayed", here=False),
    Kind(
        "idn",
        [
            End(
                "r{n}@bücher.test",
                [("good2", "r{n}@xn--bcher-kva.test")],
                success=("relayed", "r{n}@bücher.test"),
            )
        ],
        {"xn--bcher-kva.test": _mx("good2")},
        utf8=True,
    ),
    # Here.
    _local("ann@local.test", [("maildir", "ann@local.test")], success=("delivered", "ann@local.test")),
    _local(
        "bob+x{n}@local.test",
        [("maildir", "bob+x{n}@local.test")],
        success=("delivered", "bob+x{n}@local.test"),
    ),
    _local("nobody{n}@local.test", rcpt="550 5.1.1"),
    _local(
        "any{n}@catch.test", [("maildir", "catcher@local.test")], success=("delivered", "catcher@local.test")
    ),
    _local(
        "team@local.test",
        [("maildir", "dan@local.test"), ("good2", "team@healthy1.test"), ("good1", "team@first1.test")],
        failed=[("team@unknown1.test", "5.1.1"), ("team@null1.test", "5.1.10")],
        success=("expanded", "team@local.test"),
    ),
    _local(
        "list@local.test",
        [
            ("maildir", "eve@local.test", "owner-list@local.test"),
            ("good3", "list@healthy2.test", "owner-list@local.test"),
        ],
        failed=[("list@unknown1.test", "5.1.1")],
        success=("delivered", "list@local.test"),
        list=True,
    ),
    _local(
        "copied@local.test",
        [("maildir", "copied@local.test"), ("maildir", "fay@local.test")],
        success=("expanded", "copied@local.test"),
    ),
    _local("loop@local.test", rcpt="550 5.4.6"),
    _got("filed@local.test", "maildir"),
    _got("run@local.test", "pipe", waits=True),
    _local(
        "info@virtual1.test", [("good4", "chain@healthy3.test")], success=("relayed", "chain@healthy3.test")
    ),
    _got("kept@forward1.test", "good1", "kept@abroad.test", SRS, action="relayed"),
    _local("lost@forward2.test", failed=[("lost@abroad2.test", "5.1.1")]),
    # Routes.
    _got("r{n}@smart.test", "good1", action="relayed", here=False),
    _got("r{n}@smart2.test", "good2", action="relayed", here=False),
    _got("r{n}@backup.test", "good4", action="relayed"),
    _got("r{n}@store.test", "lmtp"),
    Kind(
        "late@store.test",
        [
            End("s{n}@store.test", [("lmtp", "s{n}@store.test")], success=("delivered", "s{n}@store.test")),
            End("late{n}@store.test", failed=[("late{n}@store.test", "5.2.2")]),
        ],
        here=True,
    ),
    _got("ann@asked.test", "lmtp"),
    _local("bad@asked.test", rcpt="550 5.1.1"),
    _local("r{n}@unasked.test", rcpt="451 4.3.0"),
    _local("r{n}@unread.test", rcpt="451 4.3.0"),
    _local(
        "r{n}@pipe.test", [("pipe", "r{n}@pipe.test")], success=("delivered", "r{n}@pipe.test"), waits=True
    ),
    _local("r{n}@pipe67.test", failed=[("r{n}@pipe67.test", "5.1.1")]),
    _local("r{n}@discard.test", success=("delivered", "r{n}@discard.test")),
    _local("r{n}@refuse.test", rcpt="550 5.7.1"),
    _local("r{n}@later.test", rcpt="450 4.7.1"),
    Kind(
        "hold",
        [
            End(
                "r{n}@hold.test",
                [("good1", "r{n}@hold.test")],
                success=("relayed", "r{n}@hold.test"),
                held=True,
            )
        ],
        {"hold.test": _mx("good1")},
        alone=True,
    ),
]

RECORDS = {
    **{domain: records for kind in KINDS for domain, records in kind.records.items()},
    **{f"{name}.hosts.test": [f"A {address}"] for name, address in HOSTS.items()},
    "dead2.hosts.test": [f"A {HOSTS['dead']}"],
    "closed2.hosts.test": [f"A {HOSTS['closed']}"],
    "held.hosts.test": [f"A {HOSTS['good3']}"],
    "cname.hosts.test": ["CNAME good3.hosts.test"],
    "other-name.hosts.test": [f"A {HOSTS['us']}"],
    "sixfour.hosts.test": ["AAAA 2001:db8::53", f"A {HOSTS['good1']}"],
    "six.hosts.test": ["AAAA 2001:db8::53"],
    "circle2.test": ["CNAME circle1.test"],
    "backup.test": ["MX 10 good4.hosts.test", f"MX 20 {US}"],
    "abroad.test": _mx("dead", "good1"),
    "abroad2.test": _mx("unknown"),
    US: [f"A {HOSTS['us']}"],
}
BROKEN, SILENT = ["broken.test"], ["silent.test"]
BROKEN_AT_FIRST, SILENT_AT_FIRST = ["later1.test"], ["later2.test"]
HELD_AT_FIRST = ["slow1.test", "slow2.test", "held.hosts.test"]
TRUNCATED = ["cut.test", "good4.hosts.test"]


def domains() -> int:
    """How many destination domains there are."""
    return len({end.address.partition("@")[2] for kind in KINDS for end in kind.ends})


DOORS = ("trusted", "submission", "mx")
"""The listeners: one where clients may send anywhere, one that looks at recipients' domains at once, and one
for strangers, who may send to what is here."""


class Message:
    """One message: its `number`, `sender` ("" for none), the listener that it goes to (`door`: DOORS), its
    `kinds` and the NOTIFY of each of its `ends`, and the `replies` that came: to each RCPT, and to the whole
    (None as long as there was none)."""

    __slots__ = ("door", "ends", "kinds", "notify", "number", "replies", "reply", "sender")

    def __init__(
        self, number: int, sender: str, kinds: Sequence[Kind], notify: Sequence[str], *, door: str = "trusted"
    ) -> None:
        self.number = number
        self.sender = sender
        self.kinds = kinds
        self.ends = [(kind, end) for kind in kinds for end in kind.ends]
        self.notify = notify
        self.door = door
        self.replies: list[str] = []
        self.reply: str | None = None

    def at(self, text: str) -> str:
        """A text of the table, for this message."""
        return text.replace("{n}", str(self.number))


class Expected:
    """Where a message has to end: the beginnings of the `replies` to RCPT, who gets it (`deliveries`:
    address, place and reverse-path), which reports there are (`reports`: reader, address and action, with
    the status), which there may be besides (`maybe`), and whether it is `held`."""

    __slots__ = ("deliveries", "held", "maybe", "replies", "reports")

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.deliveries: dict[str, tuple[str, str]] = {}
        self.reports: dict[tuple[str, str, str], str] = {}
        self.maybe: set[tuple[str, str, str]] = set()
        self.held = False


def expected(message: Message) -> Expected:
    """Where this message has to end."""
    found = Expected()
    for (kind, end), notify in zip(message.ends, message.notify, strict=True):
        refusal = (message.door == "submission" and end.desk) or end.rcpt
        if message.door == "mx" and not kind.here:
            refusal = "550 5.7.1"
        found.replies.append(refusal or "250")
        if not refusal:
            _add(found, message, end, notify)
    return found


def _add(found: Expected, message: Message, end: End, notify: str) -> None:
    """What one recipient that was taken adds."""
    at, sender = message.at, message.sender
    asked = notify.split(",") if notify else ["FAILURE", "DELAY"]
    for place, address, *other in end.to:
        reverse = other[0] if sender and other else sender
        found.deliveries[at(address)] = (place, reverse)
    found.held = found.held or end.held
    reader = OWNER if end.list and sender else sender
    for address, status in end.failed:
        if not reader:
            found.reports[POSTMASTER, at(address), "failed"] = status
        elif "FAILURE" in asked or end.list:
            if reader.endswith("@refusing.test"):
                # The report is refused: the postmaster is told of that.
                found.reports[POSTMASTER, reader, "failed"] = "5.1.1"
            else:
                found.reports[reader, at(address), "failed"] = status
            if end.expires and "DELAY" in asked:
                found.reports[reader, at(address), "delayed"] = "4"
        elif end.expires and "DELAY" in asked:
            found.reports[reader, at(address), "delayed"] = "4"
    if end.waits and sender and "DELAY" in asked:
        found.maybe |= {(sender, at(address), "delayed") for _, address, *_ in end.to}
    if end.success is not None and sender and "SUCCESS" in asked:
        action, address = end.success
        found.reports[sender, at(address), action] = "2"


def simple(kind: Kind) -> bool:
    """Whether a kind has one recipient at most who fails, at once: its messages may come from whoever does
    not take reports."""
    return (
        len(kind.ends) == 1
        and len(kind.ends[0].failed) <= 1
        and not (kind.ends[0].expires or kind.ends[0].waits or kind.ends[0].list or kind.ends[0].success)
    )


def counts(messages: Sequence[Message]) -> Counter[str]:
    """How many recipients end in which way."""
    told: Counter[str] = Counter()
    for message in messages:
        one = expected(message)
        told["delivered"] += len(one.deliveries)
        told["refused at RCPT"] += sum(not reply.startswith("250") for reply in one.replies)
        told["held"] += one.held
        told.update(f"reported {action}" for _, _, action in one.reports)
    return told
