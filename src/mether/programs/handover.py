"""A message handed over to the service by its Unix socket: for who may not write into its queue.

The service takes mail of this host's programs at a ``[[listen]]`` with ``address = "unix:..."`` and the role
local; who may write to that socket is said by its mode.  `deliver` speaks SMTP there, and gives the status
for sendmail to exit with, as its replies say.  Nothing is queued here.
"""

from __future__ import annotations

from mether.outcome import DONE
from mether.programs import errors, message
from mether.programs.talk import Manner, Talk
from mether.relay import failure
from mether.routing import target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.envelope import Envelope
    from mether.programs.message import Scratch
    from mether.setup.config import Config


def socket(config: Config) -> str | None:
    """The path of the socket at which the service takes mail of this host's programs."""
    return next((one.path for one in config.listen if one.path and one.role == "local"), None)


def deliver(program: str, path: str, envelope: Envelope, data: bytes | Scratch, hostname: str) -> int:
    """Hand the message over; the exit status.  What is refused is said on stderr, a line a recipient."""
    content, eight_bit = message.content(data)
    manner = Manner(lambda local: hostname, lambda direction, text: None)
    outcomes = Talk(target.parse(f"unix:{path}"), envelope, content, eight_bit, manner).outcomes()
    said = set()
    for recipient, outcome in zip(envelope.recipients, outcomes, strict=True):
        if outcome.action in DONE:
            continue
        # Where there is no service, one line is enough.
        what = str(outcome.reply) if outcome.scope == "host" else f"{recipient.forward_path}: {outcome.reply}"
        if what not in said:
            errors.complain(program, what)
        said.add(what)
    return failure.exit_status(outcomes)
