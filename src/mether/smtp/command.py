"""Commands: reading a line from a client, writing one to a server (RFC 5321 section 4.1).

`parse` turns a line into a `Command` or raises `BadCommand`, which carries the reply that the line
deserves; the session goes on after it.  `mail` and `rcpt` write commands; they refuse, with
ValueError, anything that would end the line early or change its meaning, so that no CR or LF inside
an address or parameter ever reaches the wire.

Which parameters MAIL and RCPT may carry is decided by what the server offers (`Grammar`).  Paths are
read strictly: angle brackets, no space after the colon (checklist CMD-14).
"""

from __future__ import annotations

from mether import address
from mether.envelope import Envelope, Recipient
from mether.reply import Reply
from mether.smtp import extension, parameter
from mether.smtp.extension import KNOWN
from mether.smtp.parameter import BadParameter, in_ascii
from mether.smtp.state import LAST_CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mether.address import Address, ReversePath

    Value = Envelope | Recipient | int

UNKNOWN: Final = Reply(500, "5.5.2", "command not recognized")
BAD_OCTETS: Final = Reply(500, "5.5.2", "a command is ASCII text that ends in CRLF")
BAD_CHARACTER: Final = Reply(501, "5.5.2", "a control character in a command; only CRLF ends a line")
TOO_LONG: Final = Reply(500, "5.5.2", "command line too long")
BAD_CHUNK: Final = Reply(501, "5.5.4", "syntax: BDAT octets [LAST]; closing")

VERBS: Final = frozenset(
    ("EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT")
) | {"STARTTLS", "AUTH", "ETRN", "XCLIENT"}
_SYNTAX: Final = {"AUTH": "mechanism [response]", "ETRN": "domain", "XCLIENT": "attribute=value ..."}
_NO_ARGUMENT: Final = frozenset(("DATA", "RSET", "QUIT", "STARTTLS"))
_PRINTABLE: Final = bytes(range(32, 127)) + b"\t"
_CACHE_LIMIT: Final = 4096
_LINE_LIMIT: Final = address.MAX_PATH + 16
_GRAMMARS: Final = 64
_NO_HOST: Final = frozenset(' \t<>()"\\')


class Command:
    """A well-formed command.

    `verb` is in upper case; `argument` is the text after it; `value` is, for MAIL, an Envelope
    without recipients, for RCPT a Recipient, and for BDAT the octets of the chunk.
    """

    __slots__ = ("argument", "value", "verb")

    def __init__(
        self, verb: str, argument: str = "", value: Envelope | Recipient | int | None = None
    ) -> None:
        self.verb = verb
        self.argument = argument
        self.value = value

    def __repr__(self) -> str:
        return f"Command({self.verb!r}, {self.argument!r})"


class BadCommand(Exception):
    """A line that is no good command; `reply` is the answer, `verb` the verb if it was known.

    A `fatal` one loses framing: nobody can know where the next command begins.
    """

    def __init__(self, reply: Reply, verb: str = "", *, fatal: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.verb = verb
        self.fatal = fatal


_PLAIN: Final = {verb.encode(): Command(verb) for verb in ("DATA", "RSET", "QUIT", "NOOP")}
"""Commands that are a verb alone, as nearly every client writes them."""


class Grammar:
    """What a server's offer lets MAIL and RCPT carry.

    `lines` are those of an EHLO reply after its first.  It keeps the last few thousand paths, and lines
    without parameters, that it has read, since the same ones come again and again; `offering` gives the
    grammars of other offers of the same server, which share them.
    """

    __slots__ = ("_grammars", "_lines", "_paths", "binary", "chunking", "mail", "rcpt", "utf8")

    def __init__(self, lines: Iterable[str]) -> None:
        offer = extension.parse(lines)
        offered = [KNOWN[keyword] for keyword in offer.keywords if keyword in KNOWN]
        self.mail = frozenset(name for each in offered for name in each.mail)
        self.rcpt = frozenset(name for each in offered for name in each.rcpt)
        self.utf8 = "SMTPUTF8" in offer
        self.binary = "BINARYMIME" in offer
        self.chunking = "CHUNKING" in offer
        self._paths: dict[str, Address] = {}
        self._lines: dict[bytes, tuple[str, str, ReversePath]] = {}
        self._grammars: dict[tuple[str, ...], Grammar] = {}

    def offering(self, lines: tuple[str, ...]) -> Grammar:
        """The grammar of an EHLO reply with these lines."""
        found = self._grammars.get(lines)
        if found is None:
            if len(self._grammars) >= _GRAMMARS:
                self._grammars.clear()
            found = self._grammars[lines] = Grammar(lines)
            found._paths, found._lines, found._grammars = self._paths, self._lines, self._grammars
        return found

    def path(self, text: str) -> Address:
        """Read a path without its brackets; UTF-8 is taken as it comes.  Raises AddressError."""
        found = self._paths.get(text)
        if found is None:
            found = address.parse(text, utf8=not text.isascii())
            if len(self._paths) >= _CACHE_LIMIT:
                self._paths.clear()
            self._paths[text] = found
        return found

    def parse(self, line: bytes, *, utf8: bool = False) -> Command:
        """Read a command line, without its CRLF.  Raises BadCommand.

        `utf8` says that the transaction the line stands in was begun with SMTPUTF8.
        """
        known = _PLAIN.get(line)
        if known is not None:
            return known
        seen = self._lines.get(line)
        if seen is not None:
            return _again(*seen)
        if line.translate(None, _PRINTABLE):
            if is_chunk(line):
                raise BadCommand(BAD_CHUNK, "BDAT", fatal=True)
            text = self._foreign(line)
        else:
            text = line.decode("ascii").rstrip(" \t")
        word, _, argument = text.partition(" ")
        verb = word.upper() if word.isascii() else ""  # upper() makes ASCII of a few other letters
        if verb == "MAIL":
            return self._keep(line, self._mail(argument))
        if verb == "RCPT":
            return self._keep(line, self._rcpt(argument, utf8))
        if verb not in VERBS:
            if is_chunk(line):
                raise BadCommand(BAD_CHUNK, "BDAT", fatal=True)
            raise BadCommand(UNKNOWN)
        argument = argument.strip(" \t")
        if argument and verb in _NO_ARGUMENT:
            raise BadCommand(Reply(501, "5.5.4", f"{verb} takes no argument"), verb)
        if verb in ("EHLO", "HELO", "LHLO"):
            return _hello(verb, argument)
        if verb == "BDAT":
            return _chunk(argument)
        if verb in ("VRFY", "EXPN"):
            return self._question(verb, argument)
        if verb in _SYNTAX and not argument:
            raise BadCommand(Reply(501, "5.5.4", f"syntax: {verb} {_SYNTAX[verb]}"), verb)
        if not argument.isascii() and verb not in ("NOOP", "HELP"):
            raise BadCommand(BAD_OCTETS, verb)
        return Command(verb, argument)

    def _keep(self, line: bytes, command: Command) -> Command:
        """Remember a good line with a path and no parameter: it means the same whenever it comes."""
        if b" " not in line[5:] and len(line) <= _LINE_LIMIT and line.isascii():
            if len(self._lines) >= _CACHE_LIMIT:
                self._lines.clear()
            value = command.value
            path = value.forward_path if isinstance(value, Recipient) else value.reverse_path  # type: ignore[union-attr]
            self._lines[line] = (command.verb, command.argument, path)
        return command

    def _foreign(self, line: bytes) -> str:
        """The text of a line that holds anything but printable ASCII: a NUL, a bare CR or LF, UTF-8."""
        if line.isascii():
            raise BadCommand(BAD_CHARACTER)
        if not self.utf8:
            raise BadCommand(BAD_OCTETS)
        try:
            text = line.decode().rstrip(" \t")
        except UnicodeDecodeError:
            raise BadCommand(BAD_OCTETS) from None
        if not text.replace("\t", " ").isprintable():
            raise BadCommand(BAD_CHARACTER)
        return text

    def _mail(self, argument: str) -> Command:
        path, parameters = _path_and_rest("MAIL", "FROM:", argument)
        try:
            reverse_path = self.path(path) if path else None
            if reverse_path is not None and not reverse_path.domain:
                raise address.AddressError("no @ and domain")
        except address.AddressError as error:
            raise BadCommand(Reply(501, "5.1.7", f"bad sender address: {in_ascii(error)}"), "MAIL") from None
        envelope = Envelope(reverse_path)
        if parameters:
            for name, value in _parameters("MAIL", parameters, self.mail):
                try:
                    parameter.MAIL[name](envelope, value)
                except BadParameter as error:
                    raise BadCommand(error.reply, "MAIL") from None
            if envelope.body == "BINARYMIME" and not self.binary:
                raise BadCommand(Reply(501, "5.5.4", "BODY is 7BIT or 8BITMIME"), "MAIL")
        if reverse_path is not None and not envelope.smtputf8 and not reverse_path.is_ascii:
            raise BadCommand(Reply(550, "5.6.7", "an address outside ASCII needs SMTPUTF8"), "MAIL")
        return Command("MAIL", argument, envelope)

    def _rcpt(self, argument: str, utf8: bool) -> Command:
        path, parameters = _path_and_rest("RCPT", "TO:", argument)
        try:
            if not path:
                raise address.AddressError("empty address")
            recipient = Recipient(self.path(path))
        except address.AddressError as error:
            raise BadCommand(
                Reply(501, "5.1.3", f"bad recipient address: {in_ascii(error)}"), "RCPT"
            ) from None
        if parameters:
            for name, value in _parameters("RCPT", parameters, self.rcpt):
                try:
                    parameter.RCPT[name](recipient, value)
                except BadParameter as error:
                    raise BadCommand(error.reply, "RCPT") from None
        if not utf8 and not argument.isascii():
            raise BadCommand(
                Reply(553, "5.6.7", "an address outside ASCII needs SMTPUTF8 in the MAIL command"), "RCPT"
            )
        return Command("RCPT", argument, recipient)

    def _question(self, verb: str, argument: str) -> Command:
        """VRFY and EXPN, whose argument may be followed by SMTPUTF8 (RFC 6531 section 3.7.4.2)."""
        utf8 = self.utf8 and argument[-9:].upper() == " SMTPUTF8"
        if utf8:
            argument = argument[:-9].rstrip(" \t")
        if not argument:
            raise BadCommand(Reply(501, "5.5.4", f"syntax: {verb} name"), verb)
        if not (utf8 or argument.isascii()):
            raise BadCommand(Reply(550, "5.6.7", f"a name outside ASCII needs {verb} name SMTPUTF8"), verb)
        return Command(verb, argument)


def _again(verb: str, argument: str, path: ReversePath) -> Command:
    """MAIL or RCPT with a path that was read before and no parameters, as a value of its own."""
    if verb == "MAIL":
        return Command(verb, argument, Envelope(path))
    assert path is not None
    return Command(verb, argument, Recipient(path))


def _hello(verb: str, argument: str) -> Command:
    if not argument:
        raise BadCommand(Reply(501, "5.5.4", f"syntax: {verb} your-host-name"), verb)
    if len(argument) > address.MAX_DOMAIN:
        raise BadCommand(Reply(501, "5.5.4", "that host name is too long"), verb)
    # Names that break the LDH rule are common and harmless here: the trace field quotes none of
    # them as they stand.  White space and brackets inside would be, so those are refused.
    if not (argument.isascii() and _NO_HOST.isdisjoint(argument)):
        raise BadCommand(Reply(501, "5.5.4", "that is not a host name or address literal"), verb)
    return Command(verb, argument)


def _path_and_rest(verb: str, keyword: str, argument: str) -> tuple[str, str]:
    """Split ``FROM:<path> parameters`` into path (without brackets) and parameters."""
    size = len(keyword)
    if argument[:size].upper() != keyword:
        raise BadCommand(Reply(501, "5.5.4", f"syntax: {verb} {keyword}<address>"), verb)
    rest = argument[size:]
    if rest[:1] != "<":
        raise BadCommand(
            Reply(501, "5.5.4", f"syntax: {verb} {keyword}<address>, in brackets and with no space before"),
            verb,
        )
    end = rest.find(">") if '"' not in rest else _closing_bracket(rest)
    if end < 0:
        raise BadCommand(Reply(501, "5.5.4", "the address has no closing bracket"), verb)
    if end + 1 > address.MAX_PATH:
        status = "5.1.7" if verb == "MAIL" else "5.1.3"
        raise BadCommand(Reply(501, status, f"path longer than {address.MAX_PATH} octets"), verb)
    following = rest[end + 1 :]
    if following and following[0] != " ":
        raise BadCommand(Reply(501, "5.5.4", "a space must stand between address and parameters"), verb)
    return rest[1:end], following.strip(" \t")


def _closing_bracket(text: str) -> int:
    """The index of the ``>`` that is outside any quoted string, or -1."""
    quoted = escaped = False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return i
    return -1


def _parameters(verb: str, text: str, known: frozenset[str]) -> list[tuple[str, str]]:
    """The ``NAME=value`` pairs of a command; values are non-empty where an = stands (CMD-18)."""
    pairs: list[tuple[str, str]] = []
    for word in text.split():
        written, equals, value = word.partition("=")
        name = written.upper()
        if name not in known or not written.isascii():
            named = name[:40] if written.isascii() else "outside ASCII"  # no reply is in UTF-8 (EAI-6)
            raise BadCommand(Reply(555, "5.5.4", f"{verb} parameter {named} is not recognized"), verb)
        if any(name == other for other, _ in pairs):
            raise BadCommand(Reply(501, "5.5.4", f"{name} is given twice"), verb)
        if "=" in value:
            hint = ", which xtext writes +3D" if name in ("AUTH", "ENVID", "ORCPT") else ""
            raise BadCommand(Reply(501, "5.5.4", f"{name} has a value with ={hint}"), verb)
        if equals and not value:
            raise BadCommand(Reply(501, "5.5.4", f"{name} needs a value"), verb)
        if name != "ORCPT" and not value.isascii():  # RFC 6531 and 6533 put UTF-8 into addresses alone
            raise BadCommand(Reply(501, "5.5.4", f"{name} takes no value outside ASCII"), verb)
        pairs.append((name, value))
    return pairs


def is_chunk(line: bytes) -> bool:
    """Whether a line, or what has come of it, is meant as BDAT: octets that are no commands follow it."""
    return line[:4].upper() == b"BDAT" and not line[4:5].isalnum()


def _chunk(argument: str) -> Command:
    """BDAT (RFC 3030 section 2).  A size that cannot be read cannot be skipped either: framing is lost."""
    digits, _, last = argument.partition(" ")
    last = last.strip(" \t").upper()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20) or last not in ("", "LAST"):
        raise BadCommand(BAD_CHUNK, "BDAT", fatal=True)
    return Command(LAST_CHUNK if last else "BDAT", argument, int(digits))


def hello(verb: str, name: str) -> bytes:
    """EHLO, HELO or LHLO with our name.  Raises ValueError when the name cannot stand in a line."""
    return _line(f"{verb} {name}")


def mail(reverse_path: ReversePath, parameters: Iterable[str] = ()) -> bytes:
    """A MAIL command.  Raises ValueError when a part cannot stand in a line."""
    return _line(" ".join((f"MAIL FROM:<{address.path_text(reverse_path)}>", *parameters)))


def rcpt(forward_path: Address, parameters: Iterable[str] = ()) -> bytes:
    """A RCPT command.  Raises ValueError when a part cannot stand in a line."""
    return _line(" ".join((f"RCPT TO:<{forward_path}>", *parameters)))


def plain(verb: str) -> bytes:
    """A command of a verb alone."""
    return _line(verb)


def chunk(size: int) -> bytes:
    """The BDAT command of a content that comes in one chunk."""
    return _line(f"BDAT {size} LAST")


def auth(mechanism: str, initial: str | None) -> bytes:
    """An AUTH command; `initial` is the response in base64, None for none.  Raises ValueError."""
    return _line(f"AUTH {mechanism}" if initial is None else f"AUTH {mechanism} {initial or '='}")


def response(text: str) -> bytes:
    """A client's line in an AUTH exchange, in base64.  Raises ValueError."""
    return _line(text)


def _line(text: str) -> bytes:
    if not text.isprintable():
        raise ValueError(f"{text[:200]!r} cannot be sent: it holds a control character")
    return text.encode() + b"\r\n"
