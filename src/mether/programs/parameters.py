"""What `smtp`, `smtpqer` and `sendmail` are told of a message beside its paths: MAIL's and RCPT's parameters.

`OPTIONS` are the options that `smtp` and `smtpqer` share; `put` takes them, `envelope` and `recipients` take
one parameter each, by the rules by which a server reads it (`smtp.parameter`).  Fails with UsageError, one
line that names the option; `check_7bit` with Failure.
"""

from __future__ import annotations

from mether.programs.errors import DATAERR, Failure
from mether.programs.options import Option, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.envelope import Envelope
    from mether.programs.options import Parsed

BODIES: Final = ("7bit", "8bitmime", "binarymime")

OPTIONS: Final = (
    Option("", "dsn", "ask for reports: never, or some of success,failure,delay", value="NOTIFY"),
    Option("", "dsn-return", "what reports bring back: full or hdrs", value="WHAT"),
    Option("", "dsn-envid", "the name that reports give this sending, as it is read", value="ID"),
    Option("", "body", "what the message is: 7bit, 8bitmime or binarymime", value="TYPE", choices=BODIES),
    Option("", "smtputf8", "the message needs SMTPUTF8: its header holds UTF-8"),
    Option("", "requiretls", "no hop may send it on without verified TLS (RFC 8689)"),
)


def put(given: Parsed, into: Envelope) -> None:
    """Put what OPTIONS say into an envelope with its recipients.  Raises UsageError."""
    notify, envid, what = given.text("dsn"), given.text("dsn-envid"), given.text("dsn-return")
    if notify is not None:
        recipients(into, notify, "--dsn")
    if what is not None:
        envelope(into, "RET", what, "--dsn-return")
    if envid is not None:
        from mether import xtext

        envelope(into, "ENVID", xtext.encode(envid), "--dsn-envid")
    if (body := given.text("body")) is not None:
        envelope(into, "BODY", body, "--body")
    into.smtputf8 = into.smtputf8 or given.flag("smtputf8")
    into.requiretls = into.requiretls or given.flag("requiretls")


def check_7bit(given: Parsed, *, eight_bit: bool) -> None:
    """Raise Failure where --body says 7bit of a message that holds octets above 127."""
    if eight_bit and given.text("body") == "7bit":
        raise Failure(DATAERR, "--body 7bit: the message holds octets above 127, which need 8bitmime")


def envelope(into: Envelope, name: str, value: str, option: str) -> None:
    """Give the envelope a parameter of MAIL, as `option` says it.  Raises UsageError."""
    from mether.smtp import parameter

    try:
        parameter.MAIL[name](into, value)
    except parameter.BadParameter as error:
        meant = ""
        if name == "ENVID":
            from mether import xtext

            written = xtext.encode(value)
            if value and not xtext.is_xtext(value) and len(written) <= parameter.MAX_ENVID:
                meant = f": {value} is {written} there"
        raise UsageError(f"{option}: {error.reply.text}{meant}") from None


def recipients(into: Envelope, notify: str, option: str) -> None:
    """Give every recipient this NOTIFY.  Raises UsageError."""
    from mether.smtp import parameter

    for recipient in into.recipients:
        try:
            parameter.RCPT["NOTIFY"](recipient, notify.upper())
        except parameter.BadParameter as error:
            raise UsageError(f"{option}: {error.reply.text}") from None
