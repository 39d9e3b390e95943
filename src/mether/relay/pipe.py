"""Delivery to a program: cmail, rmail, procmail, a list manager (Postfix's pipe(8) does the same).

The program is run without a shell, with the message on its standard input as `relay.final` writes it.
Its argument vector is a template: ``{sender}`` (``<>`` for the null reverse-path), ``{recipient}``,
``{user}`` and ``{domain}`` stand anywhere in an argument; ``{recipients}`` is an argument of its own and
becomes one for each recipient.  A template that names one recipient is run once for each; any other
once for all.

An address that begins with a hyphen must not become an option: where an argument would begin with one
that the address brought, and no ``--`` stands before it in the template, the program is not run and the
recipient gets 550 5.1.3 (the reverse-path at fault: 5.1.7).

The environment holds PATH, LANG, TZ where we have one, SENDER, and RECIPIENT when there is only one;
nothing else of ours.  The program leads a process group of its own, which is killed when the time limit
ends.

`deliver` blocks, is run in a thread, and never raises.  The exit status is read as sysexits(3), the way
other mail systems do: 0 delivered; 75, 71, a signal, the time limit and a program that cannot be
started are temporary (451 4.3.0); 67 is 550 5.1.1, 68 550 5.1.2, 65 554 5.6.0, and the rest 554 5.3.0
or its nearest kin.  The end of what the program printed goes into the reply, without control
characters.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time

from mether.address import AddressError, path_text, unquote
from mether.relay import final, template
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from mether.address import Address, ReversePath
    from mether.envelope import Recipient
    from mether.queue.content import Content

NAMES: Final = ("sender", "recipient", "user", "domain")
ALL: Final = "{recipients}"
PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
MAX_QUOTED: Final = 300
"""Characters of what the program printed that go into the reply."""
_TAIL: Final = 4096

DELIVERED: Final = Reply(250, "2.0.0", "delivered to the program")

_EXITS: Final = {
    65: (554, "5.6.0"),
    67: (550, "5.1.1"),
    68: (550, "5.1.2"),
    71: (451, "4.3.0"),
    73: (554, "5.2.0"),
    75: (451, "4.3.0"),
    76: (554, "5.5.0"),
    77: (554, "5.7.0"),
    78: (554, "5.3.5"),
}


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
        raise ValueError(f"{ALL} cannot stand beside {{recipient}}, {{user}} or {{domain}}")


def deliver(
    argv: Sequence[str],
    recipients: Sequence[Recipient],
    *,
    reverse_path: ReversePath,
    prefix: bytes,
    content: Content,
    limit: float,
    hostname: str,
    utf8: bool = False,
    cwd: str | None = None,
) -> list[Reply]:
    """Run the program for the recipients; one reply for each, in order.

    `argv` is the template, `prefix` the trace prefix, `limit` the seconds one run may take, `hostname` the
    domain of the bare postmaster, `utf8` whether the message came with SMTPUTF8.
    """
    groups = [[one] for one in recipients] if _names_one(argv) else [list(recipients)]
    replies = []
    for group in groups:
        try:
            arguments = expand(argv, reverse_path, [one.forward_path for one in group], hostname)
        except _Refused as refused:
            # With several in one vector a single bad one would take the rest with it: leave it out.
            if len(group) > 1:
                for one in group:
                    replies += deliver(
                        argv,
                        [one],
                        reverse_path=reverse_path,
                        prefix=prefix,
                        content=content,
                        limit=limit,
                        hostname=hostname,
                        cwd=cwd,
                    )
            else:
                replies.append(refused.reply)
            continue
        environment = _environment(reverse_path, group)
        orcpt = group[0].orcpt if len(group) == 1 else None
        pieces = final.octets(reverse_path, prefix, content, orcpt, utf8=utf8)
        reply = run(arguments, environment, pieces, limit, cwd=cwd)
        replies += [reply] * len(group)
    return replies


def expand(
    argv: Sequence[str], reverse_path: ReversePath, recipients: Sequence[Address], hostname: str
) -> list[str]:
    """The argument vector for these recipients.  Raises _Refused for one that would become an option."""
    values = {"sender": path_text(reverse_path) or "<>"}
    if len(recipients) == 1:
        address = recipients[0]
        try:
            domain = address.ascii_domain or hostname.lower()
        except AddressError as error:
            raise _Refused(Reply(550, "5.1.3", str(error))) from None
        values.update(recipient=str(address), user=unquote(address.local_part), domain=domain)
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


def run(
    arguments: Sequence[str],
    environment: dict[str, str],
    pieces: Iterator[bytes],
    limit: float,
    *,
    cwd: str | None = None,
) -> Reply:
    """Run one program with `pieces` on its standard input, for at most `limit` seconds."""
    name = os.path.basename(arguments[0])
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            umask=0o077,
            bufsize=0,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Reply(451, "4.3.0", f"cannot run {name}: {getattr(error, 'strerror', None) or error}")
    try:
        tail, in_time = _converse(process, pieces, time.monotonic() + limit)
    except OSError as error:  # the content could not be read: half a message must not count as one
        _kill(process)
        return Reply(451, "4.3.0", f"cannot read the message: {error.strerror or error}")
    finally:
        for file in (process.stdin, process.stdout):
            if file is not None:
                file.close()
    if not in_time:
        return Reply(451, "4.3.0", f"{name} did not finish within {limit:g} seconds")
    return exit_reply(name, process.returncode, tail)


def exit_reply(name: str, status: int, tail: bytes) -> Reply:
    """The reply for an exit status (negative: the signal that ended it) and the end of the output."""
    if status == 0:
        return DELIVERED
    said = "".join(char if char.isprintable() else " " for char in tail.decode("utf-8", "replace"))
    said = " ".join(said.split())[-MAX_QUOTED:].strip()
    if status < 0:
        code, enhanced, what = 451, "4.3.0", f"was ended by signal {-status}"
    else:
        code, enhanced = _EXITS.get(status, (554, "5.3.0"))
        what = f"exited with status {status}"
    return Reply(code, enhanced, f"{name} {what}" + (f": {said}" if said else ""))


def _converse(
    process: subprocess.Popen[bytes], pieces: Iterator[bytes], deadline: float
) -> tuple[bytes, bool]:
    """Feed and drain the program until it has ended; its last output, and whether that was in time.

    What the program's own children still hold open is not waited for.  A program that stops reading
    before the end has its reasons: its exit status decides.  Raises OSError from `pieces`, no other.
    """
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    tail = b""
    piece = memoryview(b"")
    fed = False
    try:
        ended = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        ended = -1  # no such thing here: look every tenth of a second instead
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            if ended >= 0:
                selector.register(ended, selectors.EVENT_READ)
            while process.poll() is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    _kill(process)
                    return tail, False
                for key, _ in selector.select(left if ended >= 0 else min(left, 0.1)):
                    if key.fd == stdout:
                        output = _read(stdout)
                        if output == b"":
                            selector.unregister(stdout)
                        elif output:
                            tail = (tail + output)[-_TAIL:]
                    elif key.fd == stdin:
                        if not piece:
                            following = next(pieces, None)
                            fed = following is None
                            piece = memoryview(following or b"")
                        try:
                            piece = piece[os.write(stdin, piece) :] if piece else piece
                        except BlockingIOError:
                            pass
                        except OSError:
                            fed = True
                        if fed:
                            selector.unregister(stdin)
                            process.stdin.close()
        while output := _read(stdout):
            tail = (tail + output)[-_TAIL:]
    finally:
        if ended >= 0:
            os.close(ended)
    return tail, True


def _read(fd: int) -> bytes | None:
    """What is there: ``b""`` at the end, None when there is nothing yet."""
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    process.wait()


def _environment(reverse_path: ReversePath, group: Sequence[Recipient]) -> dict[str, str]:
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "SENDER": path_text(reverse_path)}
    if "TZ" in os.environ:
        environment["TZ"] = os.environ["TZ"]
    if len(group) == 1:
        environment["RECIPIENT"] = str(group[0].forward_path)
    return environment


def _names_one(argv: Sequence[str]) -> bool:
    return any("{" + name + "}" in argument for argument in argv for name in ("recipient", "user", "domain"))
