"""What to say to one server for one message: the parameters it is told, what must change first, and what
cannot be sent to it at all (checklist CLI-3).

`fit` compares the envelope and the facts of the content with what the server offered in its latest EHLO
reply, before a word is said.  Its answer is a `Fit`:

- the parameters of MAIL and of each RCPT, only of extensions that were offered.  Those of DSN go as they
  came (RFC 3461 section 5.2.1), but for what DELIVERBY adds to NOTIFY (RFC 2852 section 4.1.4.2);
- `convert`: the content is to be re-encoded first, as the server does not take 8-bit or binary content
  (RFC 6152 section 3, RFC 3030 section 3).  The caller does so (`content.convert`) and asks again with the
  facts of what came out; where it cannot be done, the reply is NOT_CONVERTIBLE;
- addresses in ASCII where the server lacks SMTPUTF8 and nothing is lost by that: local-part and header are
  ASCII, and the domain has A-labels (RFC 6531 section 3.2);
- `refusal` for all recipients, or `refused` for some by their place, in the words of RFC 3463.

A parameter of FUTURERELEASE is never passed on: the message was held here.  What was not declared
internationalized goes as it came where the server takes eight bits, since nobody says that such a header
field is UTF-8; to a server that takes seven it does not go (RFC 6152 section 3).

LMTP hands over to the last stop: DELIVERBY and REQUIRETLS ask nothing more of it (RFC 8689 section 4.4).
"""

from __future__ import annotations

from mether import xtext
from mether.address import Address, AddressError
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Protocol

    from mether.address import ReversePath
    from mether.envelope import By, Envelope, Recipient
    from mether.smtp.extension import Offer

    class Facts(Protocol):
        """What is known of the content, trace fields included."""

        @property
        def size(self) -> int:
            """Octets, without dot-stuffing."""

        @property
        def eight_bit(self) -> bool:
            """Whether an octet is above 127, header or body."""

        @property
        def header_eight_bit(self) -> bool:
            """Whether one is so in a header, that of a message within it included."""

        @property
        def binary(self) -> bool:
            """Whether it needs BINARYMIME: a NUL, a CR or LF alone, a line over 998 octets."""


NOT_CONVERTED: Final = Reply(
    554, "5.6.3", "the next hop does not take 8-bit or binary content, and none is converted here"
)
NOT_CONVERTIBLE: Final = Reply(
    554, "5.6.3", "the next hop does not take 8-bit or binary content, and this one cannot be converted"
)
NO_SMTPUTF8_SENDER: Final = Reply(
    550, "5.6.7", "the next hop does not take internationalized addresses, such as the sender's"
)
NO_SMTPUTF8_RECIPIENT: Final = Reply(553, "5.6.7", "the next hop does not take internationalized addresses")
NO_SMTPUTF8_HEADER: Final = Reply(554, "5.6.9", "the next hop does not take internationalized header fields")
NO_REQUIRETLS: Final = Reply(550, "5.7.30", "the next hop does not offer REQUIRETLS, which the message needs")
NO_TLS: Final = Reply(550, "5.7.10", "the next hop offers no TLS, which the message needs (REQUIRETLS)")
NO_DELIVERBY: Final = Reply(554, "5.3.3", "the next hop keeps no time of delivery (it offers no DELIVERBY)")
TOO_SOON: Final = Reply(554, "5.3.3", "the next hop keeps no time of delivery as early as this message's")
EXPIRED: Final = Reply(554, "5.4.7", "the time by which the message had to be delivered has passed")

_MOST_SECONDS: Final = 999_999_999
_NONE: Final[tuple[str, ...]] = ()


class Policy:
    """What the configuration lets us do where a next hop lacks an extension.

    `convert`: re-encode 8-bit and binary content (which breaks signatures that cover it), else it is
    returned.  `downgrade`: write A-labels for an internationalized domain.  `chunking`: use BDAT
    wherever it is offered; binary content needs it in any case.
    """

    __slots__ = ("chunking", "convert", "downgrade")

    def __init__(self, *, convert: bool = True, downgrade: bool = True, chunking: bool = True) -> None:
        self.convert = convert
        self.downgrade = downgrade
        self.chunking = chunking


DEFAULT: Final = Policy()


class Fit:
    """What to send to one server.

    `mail` are the parameters of MAIL, `rcpt` those of each RCPT; `reverse_path` and `forward_paths` the
    addresses to write.  `refusal` is set when nothing can be sent, `refused` holds the reply of each
    recipient, by its place, that cannot be sent to.  `chunking`: use BDAT.  `convert` is "7bit" or "8bit"
    when the content must be re-encoded before anything is sent (there is nothing else to go by then), else
    None.  `notifies`: the server takes over reporting (it offers DSN).  `relayed`: every recipient whose
    NOTIFY is not NEVER is owed a report that the message was relayed (RFC 2852 section 4.1.4).  `missing` is
    the extension for want of which something was refused, "" for none: another host may have it.
    `size` is the octets to be sent.
    """

    __slots__ = (
        "chunking",
        "convert",
        "forward_paths",
        "mail",
        "missing",
        "notifies",
        "rcpt",
        "refusal",
        "refused",
        "relayed",
        "reverse_path",
        "size",
    )

    def __init__(self, reverse_path: ReversePath, forward_paths: Sequence[Address], size: int) -> None:
        self.mail: list[str] = []
        self.rcpt: Sequence[Sequence[str]] = ()
        self.reverse_path = reverse_path
        self.forward_paths = forward_paths
        self.refusal: Reply | None = None
        self.refused: dict[int, Reply] = {}
        self.chunking = False
        self.convert: str | None = None
        self.notifies = False
        self.relayed = False
        self.missing = ""
        self.size = size

    @property
    def lacking(self) -> bool:
        """Whether nothing can be sent for want of an extension, which another host may have."""
        return self.refusal is not None and self.missing != ""

    def refuse(self, reply: Reply, missing: str = "") -> Fit:
        """Nothing can be sent; returns itself."""
        self.refusal = reply
        self.missing = missing
        return self


def believes(envelope: Envelope, offer: Offer) -> bool:
    """Whether what MAIL declared of the content will do as its facts, as the server takes all of that.

    When not, the content itself must be looked at before `fit` is asked.
    """
    offered = offer.keywords
    if "8BITMIME" not in offered or (envelope.smtputf8 and "SMTPUTF8" not in offered):
        return False
    return envelope.body != "BINARYMIME" or ("BINARYMIME" in offered and "CHUNKING" in offered)


def fit(
    envelope: Envelope,
    recipients: Sequence[Recipient],
    facts: Facts,
    offer: Offer,
    policy: Policy = DEFAULT,
    waited: float = 0.0,
    authenticated: bool = False,
    secured: bool = False,
    lmtp: bool = False,
) -> Fit:
    """What to send to a server that offered `offer`.

    `waited` is how many seconds ago the message arrived here; `authenticated` whether we gave credentials in
    this session, `secured` whether it is under TLS.
    """
    offered = offer.keywords
    made = Fit(envelope.reverse_path, [one.forward_path for one in recipients], facts.size)
    if envelope.requiretls and not lmtp and "REQUIRETLS" not in offered and envelope.reverse_path is not None:
        return made.refuse(NO_REQUIRETLS if secured else NO_TLS, "REQUIRETLS")
    if facts.binary and not ("BINARYMIME" in offered and "CHUNKING" in offered):
        made.convert = "8bit" if "8BITMIME" in offered else "7bit"
    elif facts.eight_bit and "8BITMIME" not in offered:
        made.convert = "7bit"
    utf8 = _internationalize(made, envelope, recipients, facts, offer, policy)
    if made.refusal is not None:
        return made
    if made.convert is not None:
        # A report is converted in any case: it could not be returned to anybody.
        if policy.convert or envelope.reverse_path is None:
            return made
        return made.refuse(NOT_CONVERTED, _content_extension(made.convert, facts))
    limit = offer.size_limit
    if limit is not None and facts.size > limit:
        text = f"the next hop takes messages of up to {limit} octets, this one has {facts.size}"
        return made.refuse(Reply(552, "5.3.4", text))
    mail = made.mail
    if "SIZE" in offered:
        mail.append(f"SIZE={facts.size}")
    if facts.binary:
        mail.append("BODY=BINARYMIME")
    elif facts.eight_bit:
        mail.append("BODY=8BITMIME")
    if utf8:
        mail.append("SMTPUTF8")
    made.chunking = "CHUNKING" in offered and (policy.chunking or facts.binary)
    delay = False
    if envelope.by is not None:
        left = max(-_MOST_SECONDS, min(_MOST_SECONDS, envelope.by.seconds - int(waited)))
        refusal = _too_late(envelope.by, left, offer, lmtp)
        if refusal is not None:
            return made.refuse(refusal, "" if refusal is EXPIRED else "DELIVERBY")
        delay = _deliver_by(made, envelope.by, left, offer, lmtp)
    if "DSN" in offered:
        made.notifies = True
        if envelope.ret is not None:
            mail.append(f"RET={envelope.ret}")
        if envelope.envid is not None:
            mail.append(f"ENVID={envelope.envid}")
        made.rcpt = [_dsn(recipient, utf8, delay) for recipient in recipients]
    else:
        made.rcpt = [_NONE] * len(recipients)
    if "AUTH" in offered:
        _auth(mail, envelope.auth, authenticated)
    if envelope.requiretls and "REQUIRETLS" in offered:
        mail.append("REQUIRETLS")
    if envelope.priority and "MT-PRIORITY" in offered:
        mail.append(f"MT-PRIORITY={envelope.priority}")
    return made


def _content_extension(convert: str, facts: Facts) -> str:
    return "BINARYMIME" if facts.binary and convert == "8bit" else "8BITMIME"


def _internationalize(
    made: Fit,
    envelope: Envelope,
    recipients: Sequence[Recipient],
    facts: Facts,
    offer: Offer,
    policy: Policy,
) -> bool:
    """Whether MAIL carries SMTPUTF8; where it may not, downgrade or refuse what would need it."""
    sender = envelope.reverse_path
    foreign = [number for number, one in enumerate(recipients) if not one.forward_path.is_ascii]
    foreign_sender = sender is not None and not sender.is_ascii
    if not (envelope.smtputf8 or foreign or foreign_sender):
        return False
    header = envelope.smtputf8 and facts.header_eight_bit
    if "SMTPUTF8" in offer:
        return (
            header
            or foreign_sender
            or bool(foreign)
            or (
                envelope.smtputf8
                and any(one.orcpt is not None and not one.orcpt.isascii() for one in recipients)
            )
        )
    if header:
        made.refuse(NO_SMTPUTF8_HEADER, "SMTPUTF8")
        return False
    if foreign_sender:
        assert sender is not None
        made.reverse_path = _downgraded(sender) if policy.downgrade else None
        if made.reverse_path is None:
            made.refuse(NO_SMTPUTF8_SENDER, "SMTPUTF8")
            return False
    if foreign:
        paths = list(made.forward_paths)
        for number in foreign:
            path = _downgraded(paths[number]) if policy.downgrade else None
            if path is None:
                made.refused[number] = NO_SMTPUTF8_RECIPIENT
                made.missing = "SMTPUTF8"
            else:
                paths[number] = path
        made.forward_paths = paths
        if len(made.refused) == len(recipients):
            made.refuse(NO_SMTPUTF8_RECIPIENT, "SMTPUTF8")
    return False


def _downgraded(path: Address) -> Address | None:
    """The same mailbox in ASCII, None where there is no such name for it."""
    if not path.local_part.isascii():
        return None
    try:
        return Address(path.local_part, path.ascii_domain)
    except AddressError:
        return None


def _too_late(by: By, left: int, offer: Offer, lmtp: bool) -> Reply | None:
    """Why a message to be returned when late cannot go there (RFC 2852 section 4.1.4.1)."""
    if by.mode != "R":
        return None
    if left <= 0:
        return EXPIRED
    least = offer.keywords.get("DELIVERBY")
    if least is None:
        return None if lmtp else NO_DELIVERBY
    known = least.isascii() and least.isdigit() and len(least) <= 9
    return TOO_SOON if known and int(least) > left else None


def _deliver_by(made: Fit, by: By, left: int, offer: Offer, lmtp: bool) -> bool:
    """Add BY; whether NOTIFY is to ask for reports of delay instead (RFC 2852 section 4.1.4.2)."""
    offered = "DELIVERBY" in offer
    made.relayed = not lmtp and (by.trace or (not offered and left > 0))
    if offered:
        made.mail.append(f"BY={left};{by.mode}{'T' if by.trace else ''}")
    return not offered and left > 0


def _dsn(recipient: Recipient, utf8: bool, delay: bool) -> Sequence[str]:
    """The DSN parameters of a RCPT, as they came; with `delay` reports of delay are asked for too."""
    notify, orcpt = recipient.notify, recipient.orcpt
    if delay:
        if notify is None:
            notify = "FAILURE,DELAY"
        elif notify.upper() != "NEVER" and "DELAY" not in notify.upper().split(","):
            notify += ",DELAY"
    if notify is None and orcpt is None:
        return _NONE
    parameters = []
    if notify is not None:
        parameters.append(f"NOTIFY={notify}")
    if orcpt is not None:
        parameters.append(f"ORCPT={orcpt if utf8 or orcpt.isascii() else _ascii_orcpt(orcpt)}")
    return parameters


def _ascii_orcpt(orcpt: str) -> str:
    r"""The 7-bit form of an ORCPT that holds UTF-8: ``\x{HEX}`` for a utf-8 address (RFC 6533 section 3)."""
    kind, _, value = orcpt.partition(";")
    if kind.lower() == "utf-8":
        return f"{kind};" + "".join(
            char if char.isascii() else xtext.encode_utf8_address(char) for char in value
        )
    return f"{kind};" + "".join(char if char.isascii() else xtext.encode(char) for char in value)


def _auth(mail: list[str], auth: str | None, authenticated: bool) -> None:
    """AUTH= (RFC 4954 section 5): a name that is vouched for to any server, else <> where we logged in."""
    if auth is not None and auth != "<>":
        mail.append(f"AUTH={xtext.encode(auth)}")
    elif authenticated:
        mail.append("AUTH=<>")
