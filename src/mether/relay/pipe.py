"""Delivery to a program: cmail, rmail, procmail, a list manager (Postfix's pipe(8) does the same).

The program is run without a shell, with the message on its standard input as `relay.final` writes it.
Its argument vector is a template: ``{sender}`` (``<>`` for the null reverse-path), ``{recipient}``,
``{user}`` and ``{detail}`` (what stands before and behind the delimiter of sub-addresses), ``{domain}``,
``{queue_id}`` and ``{client_address}`` stand anywhere in an argument; ``{recipients}`` is an argument of its
own and becomes one for each recipient.  A template that names one recipient is run once for each; any other
once for all.

An address that begins with a hyphen must not become an option: where an argument would begin with one
that the address brought, and no ``--`` stands before it in the template, the program is not run and the
recipient gets 550 5.1.3 (the reverse-path at fault: 5.1.7).

The environment holds PATH, LANG, TZ where we have one, and what others' programs know from Postfix's
local(8): SENDER, QUEUE_ID, CLIENT_ADDRESS, CLIENT_HOSTNAME, CLIENT_HELO, CLIENT_PROTOCOL, SASL_USERNAME (each
empty where it is not known), and with one recipient RECIPIENT, LOCAL, USER, EXTENSION, DOMAIN and
ORIGINAL_RECIPIENT; for a delivery as a Unix user also HOME, LOGNAME and SHELL.  No value holds a control
character; else strangers wrote them.  Beside these are the `variables` of the service, which tell our own
programs where its configuration is.

A program in an alias, ``|command words``, is such an argument vector too (`words`): quotes are read as sh
does, and what only a shell could do is refused.

`deliver` blocks, is run in a thread, and never raises.  What becomes of a program
is told by `relay.program`.
"""

from __future__ import annotations

import os

from mether import xtext
from mether.address import AddressError, path_text
from mether.relay import final, program, template
from mether.relay.letter import split
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Final

    from mether.address import Address
    from mether.envelope import Recipient
    from mether.relay.letter import Letter, Person

ONE: Final = ("recipient", "user", "detail", "domain")
NAMES: Final = (*ONE, "sender", "queue_id", "client_address")
ALL: Final = "{recipients}"
PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
MAX_WORDS: Final = 100
"""Words of a program in an alias."""
MAX_VALUE: Final = 1024
"""Characters of a value in the environment."""
NONE: Final[Mapping[str, str]] = {}


class _Refused(Exception):
    """An address that may not go into this argument vector; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def check_template(argv: Sequence[str]) -> None:
    """Raise ValueError, for a person, unless `argv` can be an argument vector template."""
    if not argv or not argv[0] or "{" in argv[0]:
        raise ValueError("the first argument must be the program's name or path")
    for argument in argv:
        if "\0" in argument:
            raise ValueError("an argument holds a NUL")
        if argument != ALL:
            template.names(argument, NAMES)
    if ALL in argv and _names_one(argv):
        raise ValueError(f"{ALL} cannot stand beside {{recipient}}, {{user}}, {{detail}} or {{domain}}")


def words(command: str) -> tuple[str, ...]:
    """The argument vector of ``|command`` in an alias, given without its bar.

    Quotes and backslashes are sh's.  Raises ValueError, for a person, where a shell would be needed, whose
    part nothing here plays: variables, patterns, redirection, several commands.
    """
    found: list[str] = []
    word: list[str] | None = None
    quote = ""
    chars = iter(command)
    for char in chars:
        if char == "\\" and quote != "'":
            following = next(chars, "")
            if not following:
                raise ValueError(f"{command[:80]!r} ends with a backslash that quotes nothing")
            kept = char if quote and following not in '\\"$`' else ""
            word = [*(word or ()), kept, following]
        elif quote:
            if char == quote:
                quote = ""
            elif quote == '"' and char in "$`":
                raise _needs_shell(command, char)
            else:
                word = [*(word or ()), char]
        elif char in "'\"":
            quote, word = char, word or []
        elif char in " \t":
            if word is not None:
                found.append("".join(word))
            word = None
        elif char in "|&;<>()$`*?[]{}~#!\n" and not (char in "~#!" and word):
            raise _needs_shell(command, char)
        else:
            word = [*(word or ()), char]
    if quote:
        raise ValueError(f"{command[:80]!r} has no closing {quote}")
    if word is not None:
        found.append("".join(word))
    if not found or not found[0]:
        raise ValueError("a program must follow the bar")
    if "=" in found[0]:
        raise _needs_shell(command, "=")
    if len(found) > MAX_WORDS or any("\0" in one for one in found):
        raise ValueError(f"{command[:80]!r} has more than {MAX_WORDS} words, or a NUL")
    return tuple(found)


def _needs_shell(command: str, char: str) -> ValueError:
    return ValueError(
        f"{command[:80]!r} needs a shell for its {char!r}, and none is run: quote it, name a script instead, "
        "or write sh -c '...'"
    )


def deliver(
    argv: Sequence[str],
    recipients: Sequence[Recipient],
    letter: Letter,
    *,
    now: float,
    limit: float,
    hostname: str,
    delimiter: str = "",
    literal: bool = False,
    begins: bool = False,
    delivered_to: bool = True,
    person: Person | None = None,
    variables: Mapping[str, str] = NONE,
) -> list[Reply]:
    """Run the program for the recipients; one reply for each, in order.

    `argv` is the template (`literal`: the arguments themselves, once for each recipient), `now` Unix time,
    `limit` the seconds one run may take, `hostname` the domain of the bare postmaster, `delimiter` what
    stands before the detail in a local-part.  With `begins` the message begins with a ``From`` line; with
    `delivered_to` a run for one recipient has that field, and loops are looked for.  `person` is the Unix
    user that this process is for the delivery, `variables` what the service puts into the environment.
    """
    groups = [[one] for one in recipients] if literal or _names_one(argv) else [list(recipients)]
    replies: list[Reply] = []
    while groups:
        group = groups.pop(0)
        address = group[0].forward_path if delivered_to and len(group) == 1 else None
        try:
            if address is not None and final.loops(letter.content, address):
                replies.append(final.LOOP)
                continue
            paths = [one.forward_path for one in group]
            arguments = list(argv) if literal else expand(argv, letter, paths, hostname, delimiter)
        except _Refused as refused:
            # With several in one vector a single bad one would take the rest with it: leave it out.
            if len(group) > 1:
                groups[:0] = [[one] for one in group]
            else:
                replies.append(refused.reply)
            continue
        except OSError as error:
            replies += [program.unread(error)] * len(group)
            continue
        pieces = final.octets(
            letter.reverse_path,
            letter.prefix,
            letter.content,
            group[0].orcpt if len(group) == 1 else None,
            utf8=letter.utf8,
            delivered_to=address,
        )
        if begins:
            pieces = _before(final.from_line(letter.reverse_path, now), pieces)
        given = environment(letter, group, delimiter, person, variables)
        reply = program.run(arguments, given, pieces, limit)
        replies += [reply] * len(group)
    return replies


def expand(
    argv: Sequence[str], letter: Letter, recipients: Sequence[Address], hostname: str, delimiter: str = ""
) -> list[str]:
    """The argument vector for these recipients.  Raises _Refused for one that would become an option."""
    values = {
        "sender": path_text(letter.reverse_path) or "<>",
        "queue_id": letter.ident,
        "client_address": letter.arrival.address,
    }
    if len(recipients) == 1:
        address = recipients[0]
        try:
            domain = address.ascii_domain or hostname.lower()
        except AddressError as error:
            raise _Refused(Reply(550, "5.1.3", str(error))) from None
        user, detail = split(address, delimiter)
        values.update(recipient=str(address), user=user, detail=detail, domain=domain)
    out: list[str] = []
    guarded = False
    for argument in argv:
        if argument == ALL:
            expanded = [str(address) for address in recipients]
        else:
            expanded = [template.expand(argument, values)]
        for text in expanded:
            if text.startswith("-") and not argument.startswith("-") and not guarded:
                if argument.startswith("{sender}"):
                    raise _Refused(Reply(550, "5.1.7", "the sender's address begins with a hyphen"))
                raise _Refused(Reply(550, "5.1.3", "an address that begins with a hyphen is not taken here"))
        guarded = guarded or argument == "--"
        out += expanded
    return out


def environment(
    letter: Letter,
    group: Sequence[Recipient],
    delimiter: str = "",
    person: Person | None = None,
    variables: Mapping[str, str] = NONE,
) -> dict[str, str]:
    """What the program finds in its environment."""
    arrival = letter.arrival
    values = {
        "SENDER": path_text(letter.reverse_path),
        "QUEUE_ID": letter.ident,
        "CLIENT_ADDRESS": arrival.address,
        "CLIENT_HOSTNAME": arrival.host,
        "CLIENT_HELO": arrival.helo,
        "CLIENT_PROTOCOL": arrival.protocol,
        "SASL_USERNAME": arrival.login,
    }
    if len(group) == 1:
        address = group[0].forward_path
        user, detail = split(address, delimiter)
        values.update(
            RECIPIENT=str(address),
            LOCAL=f"{user}{delimiter}{detail}" if detail else user,
            USER=user,
            EXTENSION=detail,
            DOMAIN=address.domain,
            ORIGINAL_RECIPIENT=_original(group[0]),
        )
    out = {name: _value(value) for name, value in values.items()}
    if person is not None:
        out.update(HOME=person.home, USER=person.name, LOGNAME=person.name, SHELL=person.shell or "/bin/sh")
    if "TZ" in os.environ:
        out["TZ"] = os.environ["TZ"]
    return {"PATH": PATH, "LANG": "C.UTF-8", **variables, **out}


def _before(first: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _original(recipient: Recipient) -> str:
    """The address that the sender gave in ORCPT, else the recipient's own."""
    original = xtext.original(recipient.orcpt or "", utf8=True).partition(";")[2]
    return original or str(recipient.forward_path)


def _value(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_VALUE])


def _names_one(argv: Sequence[str]) -> bool:
    return any("{" + name + "}" in argument for argument in argv for name in ONE)
