"""What a session says: the replies that do not depend on anything but themselves (RFC 5321 section 4.2).

Codes and enhanced codes are those of the checklist's tables RPL and ENH.
"""

from __future__ import annotations

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SENDER_OK: Final = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "recipient ok")
GO_AHEAD: Final = Reply(354, None, "go ahead; end with <CRLF>.<CRLF>")
CHUNK_TAKEN: Final = Reply(250, "2.0.0", "chunk taken")
RESET: Final = Reply(250, "2.0.0", "reset")
NOTHING_DONE: Final = Reply(250, "2.0.0", "ok")
GO_SECURE: Final = Reply(220, "2.0.0", "ready to start TLS")

NO_SERVICE: Final = Reply(503, "5.5.1", "no service here; say QUIT")
LOGIN_FIRST: Final = Reply(530, "5.7.0", "authentication required")
ALREADY_SECURE: Final = Reply(503, "5.5.1", "TLS is in use already")
ALREADY_LOGGED_IN: Final = Reply(503, "5.5.1", "you have logged in already")
TOO_LONG_HERE: Final = Reply(421, "4.3.2", "no message for too long; please connect again")
NOT_YOURS: Final = Reply(550, "5.7.1", "that sender address is not yours to use")
UNQUALIFIED_SENDER: Final = Reply(554, "5.1.8", "the sender's domain is not a full one")
UNQUALIFIED_RECIPIENT: Final = Reply(554, "5.1.2", "the recipient's domain is not a full one")
HELD_TOO_LONG: Final = Reply(501, "5.5.4", "that is longer than a message is held here")
HELD_BEYOND_BY: Final = Reply(
    501, "5.5.4", "it would be held beyond the time that BY gives (RFC 4865 section 5.2)"
)
NO_RELAY: Final = Reply(
    550, "5.7.1", "relaying denied: neither is your address trusted here nor is that domain ours"
)
NO_SUCH_USER: Final = Reply(550, "5.1.1", "no such user here")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "too many recipients; send the rest in another transaction")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "too many errors; closing")
TOO_MANY_COMMANDS: Final = Reply(421, "4.7.0", "too many commands; closing")
TOO_FAST: Final = Reply(450, "4.7.0", "too much in a minute; please try again later")
TOO_BIG: Final = Reply(552, "5.3.4", "the message is larger than this system takes")
CANNOT_VERIFY: Final = Reply(252, "2.5.0", "cannot verify; send the message and see")
NO_EXPANSION: Final = Reply(252, "2.5.0", "lists are not shown")
NO_ETRN: Final = Reply(459, "4.7.1", "you may not start a queue here")
NO_SUCH_QUEUE: Final = Reply(
    458, "4.3.3", "unable to start that queue: the queues here have no names but domains"
)
BAD_NODE: Final = Reply(501, "5.5.4", "syntax: ETRN domain, or ETRN @domain for all below it")

_HELP: Final = {
    "EHLO": "EHLO host                begin; the reply lists the extensions",
    "HELO": "HELO host                begin, without extensions",
    "LHLO": "LHLO host                begin (LMTP); the reply lists the extensions",
    "MAIL": "MAIL FROM:<address> ...  begin a transaction; <> for the null reverse-path",
    "RCPT": "RCPT TO:<address> ...    add a recipient",
    "DATA": "DATA                     send the message, ended by a dot on a line of its own",
    "BDAT": "BDAT octets [LAST]       send the message in chunks (RFC 3030)",
    "RSET": "RSET                     forget the transaction",
    "NOOP": "NOOP                     do nothing",
    "VRFY": "VRFY address             ask about an address",
    "EXPN": "EXPN list                ask who is on a list; nobody is told here",
    "ETRN": "ETRN domain              send now what waits for a domain (RFC 1985)",
    "STARTTLS": "STARTTLS                 go on under TLS (RFC 3207)",
    "AUTH": "AUTH mechanism [...]     log in (RFC 4954)",
    "HELP": "HELP [command]           show this, or one command",
    "QUIT": "QUIT                     end the session",
}


def unheard(reply: Reply) -> None:
    """Say it to a session that is over: nobody hears it."""


def help_about(topic: str, lmtp: bool) -> Reply:
    """What HELP says, of one command where it is known."""
    line = _HELP.get(topic.upper())
    if line is not None:
        return Reply(214, "2.0.0", line)
    if topic:
        return Reply(504, "5.5.4", f"there is no help about that; known are {' '.join(_HELP)}")
    hidden = ("EHLO", "HELO") if lmtp else ("LHLO",)
    return Reply(214, "2.0.0", *(line for verb, line in _HELP.items() if verb not in hidden))
