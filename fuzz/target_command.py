"""Any octets are a command or are refused in ASCII; a path that is taken reads the same again."""

from __future__ import annotations

from mether.envelope import Envelope, Recipient
from mether.smtp import command
from mether.smtp.command import BadCommand, Grammar
from mether.smtp.extension import KNOWN

FULL = Grammar(list(KNOWN))
SOME = Grammar(["SIZE", "8BITMIME"])


def check(data: bytes) -> None:
    """The first octet says what is offered, and whether MAIL had SMTPUTF8; the rest is a line."""
    flags, line = data[:1] or b"\0", data[1:].replace(b"\r\n", b" ")
    grammar = FULL if flags[0] & 1 else SOME
    utf8 = bool(flags[0] & 2) and grammar is FULL
    try:
        found = grammar.parse(line, utf8=utf8)
    except BadCommand as error:
        written = error.reply.encode()
        assert error.reply.permanent and written.isascii(), written
        assert all(len(each) <= 512 for each in written.splitlines(keepends=True))
        return
    assert found.verb in command.VERBS or found.verb == "BDAT LAST"
    value = found.value
    if isinstance(value, Recipient):
        assert utf8 or (found.argument.isascii() and value.forward_path.is_ascii)
        parameters = [f"NOTIFY={value.notify}"] if value.notify is not None else []
        parameters += [f"ORCPT={value.orcpt}"] if value.orcpt is not None else []
        again = grammar.parse(command.rcpt(value.forward_path, parameters)[:-2], utf8=utf8).value
        assert again == value, (line, again)
    elif isinstance(value, Envelope):
        parameters = ["SMTPUTF8"] if value.smtputf8 else []
        parameters += [f"SIZE={value.size}"] if value.size is not None else []
        parameters += [f"ENVID={value.envid}"] if value.envid is not None else []
        again = grammar.parse(command.mail(value.reverse_path, parameters)[:-2]).value
        assert isinstance(again, Envelope)
        assert (again.reverse_path, again.size, again.envid) == (value.reverse_path, value.size, value.envid)
    elif isinstance(value, int):
        assert 0 <= value < 10**20
