"""Aliases in sendmail's syntax: what an address stands for (aliases(5) of sendmail and of Postfix).

::

    # one name, and who gets its mail
    postmaster: root
    root:       ann, bob@example.net
    staff:      ann, bob,
                carol                           # wrong: a comment has a line of its own
    list:       :include:/etc/mether/list
    owner-list: ann
    ann:        \\ann, "|/usr/bin/vacation ann"
    noreply:    /dev/null
    @old.example.org: @example.org

A line that begins with white space goes on with the one before; one that begins with ``#`` is a comment.
Names are compared without case.  A member is one of

=====================  ==================================================================
``bob``                bob, in the domain of whom he stands for
``bob@example.net``    that address; a comment in parentheses, or a name before ``<...>``, is passed over
``\\bob``              bob himself, whatever aliases say of him
``@example.org``       the same local-part in that domain
``:include:/path``     the members in that file, one or more on a line
``|program argument``  that program, if the rule allows it
``/file``, ``/dir/``   that file or Maildir, if the rule allows it; ``/dev/null`` always: nobody
=====================  ==================================================================

each of them in double quotes where it holds a comma or a space (``"|program a, b"``; ``|"program a"`` too).
A name that stands twice in a file with different members is an error, as in our other tables: which of them
was meant is not guessed.

`parse` and `included` read files, `members` the text on the right of a colon, which is also what a map or a
database may have for an address.  They raise ValueError: one line that says what was expected.  Pure.
"""

from __future__ import annotations

from mether.address import Address, AddressError, check_domain, quote, unquote
from mether.address import parse as parse_address
from mether.routing.tables_file import MAX_ENTRIES, normal_key, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final, Literal

    Kind = Literal["address", "user", "domain", "include", "program", "file"]

MAX_MEMBERS: Final = 10_000
"""Members that one address may come to."""
MAX_TEXT: Final = 1 << 20
"""Characters of what stands for one name."""
NOBODY: Final = "/dev/null"


class Member:
    """One member: its `kind`, and its `text`: a domain, a path, or a program with its arguments; of kinds
    "address" and "user" the `address`, whose domain is "" where none is said."""

    __slots__ = ("address", "kind", "text")

    def __init__(self, kind: Kind, text: str, address: Address | None = None) -> None:
        self.kind: Kind = kind
        self.text = text
        self.address = address

    def __repr__(self) -> str:
        return f"Member({self.kind!r}, {self.text!r})"


def parse(data: bytes, path: str) -> dict[str, str]:
    """The aliases in the octets of a file: names in lower case, and what stands behind their colons.

    `path` is the file in errors.  Raises ValueError.
    """
    table: dict[str, str] = {}
    known: dict[str, int] = {}
    for number, line in _logical(text_of(data, path), path):
        try:
            name, text = _parted(line)
            members(text)
            if table.setdefault(name, text) != text:
                raise ValueError(f"{name[:80]} stands in line {known[name]} already, with other members")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        known[name] = number
    if len(table) > MAX_ENTRIES:
        raise ValueError(f"{path}: more than {MAX_ENTRIES} aliases: expected them in a database")
    return table


def included(data: bytes, path: str) -> tuple[Member, ...]:
    """The members in the octets of an included file.  Raises ValueError.

    There are no programs and files among them: who may write to a list is not to run programs here.
    """
    found: list[Member] = []
    for number, line in enumerate(text_of(data, path).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            these = members(text.rstrip(","))
            for one in these:
                if one.kind in ("program", "file") and one.text != NOBODY:
                    bar = "|" if one.kind == "program" else ""
                    raise ValueError(
                        f"{bar + one.text[:80]!r}: expected an address; a list has no {one.kind}s"
                    )
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        found += these
        if len(found) > MAX_MEMBERS:
            raise ValueError(f"{path}:{number}: more than {MAX_MEMBERS} members")
    return tuple(found)


def members(text: str) -> list[Member]:
    """The members in what a name stands for.  Raises ValueError."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"longer than {MAX_TEXT} characters; expected :include: and a file")
    found = [_member(one) for one in _split(text)]
    if not found:
        raise ValueError("nobody is named; expected an address, or /dev/null for nobody")
    return found


def unwanted(table: Mapping[str, str], *, programs: bool, files: bool) -> Iterator[str]:
    """A line for each alias with a member that is not allowed: a program without `programs`, a file without
    `files`."""
    for name, text in table.items():
        if "|" not in text and "/" not in text:
            continue
        for one in members(text):
            if one.kind == "program" and not programs:
                yield f"{name}: mail to the program {one.text!r} is refused without alias_programs = true"
            elif one.kind == "file" and one.text != NOBODY and not files:
                yield f"{name}: mail to the file {one.text!r} is refused without alias_files = true"


def _logical(text: str, path: str) -> Iterator[tuple[int, str]]:
    """The lines with what continues them, each with the number of its first.  Raises ValueError."""
    start, held = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if line[0] in " \t":
            if not held:
                raise ValueError(f"{path}:{number}: nothing to go on with; expected name: members")
            held += " " + bare
            continue
        if held:
            yield start, held
        start, held = number, bare
    if held:
        yield start, held


def _parted(line: str) -> tuple[str, str]:
    """The name and the members of a line.  Raises ValueError."""
    at, quoted, depth = 0, False, 0
    for at, char in enumerate(line):
        if char == '"' and line[at - 1 : at] != "\\":
            quoted = not quoted
        elif not quoted and char in "[]":
            depth += 1 if char == "[" else -1
        elif char == ":" and not quoted and depth <= 0:
            break
    else:
        raise ValueError(f"{line[:80]!r} has no colon; expected name: members")
    name = line[:at].strip()
    if not name:
        raise ValueError("no name before the colon; expected name: members")
    if name != "*":
        try:
            _check_name(name)
        except AddressError as error:
            raise ValueError(f"{name[:80]!r} is no name of an alias: {error}") from None
    key = normal_key(name) if "@" in name else unquote(name).lower()
    return key, line[at + 1 :].strip()


def _check_name(name: str) -> None:
    """Raise AddressError unless it is a name, an address, or ``@domain``."""
    if name.startswith("@"):
        check_domain(name[1:], utf8=True)
    elif name.startswith('"') and name.endswith('"') and len(name) > 2:
        parse_address(f"{quote(unquote(name))}@example.org", utf8=True)
    else:
        parse_address(name if "@" in name else f"{name}@example.org", utf8=True)


def _split(text: str) -> list[str]:
    """The texts between the commas that are in no quotes, parentheses or angle brackets."""
    if not any(char in text for char in '"(<'):
        return [one for one in map(str.strip, text.split(",")) if one]
    out, start, at = [], 0, 0
    quoted, depth, angle = False, 0, False
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char == '"' and not depth:
            quoted = not quoted
        elif quoted:
            pass
        elif char in "()":
            depth = depth + 1 if char == "(" else max(0, depth - 1)
        elif char in "<>" and not depth:
            angle = char == "<"
        elif char == "," and not depth and not angle:
            out.append(text[start:at])
            start = at + 1
        at += 1
    if quoted or depth:
        raise ValueError(f"expected a {')' if depth else 'second ' + chr(34)} behind {text[start:][:80]!r}")
    out.append(text[start:])
    return [one for one in map(str.strip, out) if one]


def _member(text: str) -> Member:
    whole = text
    if len(text) > 2 and text[0] == text[-1] == '"' and _closes(text):
        inner = unquote(text)
        # What is special in quotes is what would be without; anything else in quotes is a local-part.
        if inner[:1] in ("|", "/") or inner[:9].lower() == ":include:":
            text = inner
        elif text[1] == "\\" and text[2] not in '\\"':
            text = "\\" + quote(inner)
    if text.startswith("|"):
        command = text[1:].strip()
        if len(command) > 2 and command[0] == command[-1] == '"' and _closes(command):
            command = unquote(command)
        if not command.startswith("/"):
            raise ValueError(f"{whole[:80]!r}: expected | and the absolute path of a program")
        return Member("program", command)
    if text.startswith("/"):
        return Member("file", text)
    if text[:9].lower() == ":include:":
        path = text[9:].strip()
        if not path.startswith("/"):
            raise ValueError(f"{whole[:80]!r}: expected :include: and an absolute path")
        return Member("include", path)
    final = text.startswith("\\")
    text = _bare(text[1:] if final else text)
    if text.startswith("@") and not final and ":" not in text:
        try:
            check_domain(text[1:], utf8=True)
        except AddressError as error:
            raise ValueError(f"{whole[:80]!r}: {error}") from None
        return Member("domain", text[1:])
    try:
        if text.startswith('"') and _closes(text):
            address = Address(quote(unquote(text)), "")
            parse_address(f"{address.local_part}@example.org", utf8=True)
        elif "@" in text:
            address = parse_address(text, utf8=True)
        else:
            address = Address(parse_address(f"{text}@example.org", utf8=True).local_part, "")
    except AddressError as error:
        hint = "; a comment has a line of its own" if "#" in text else ""
        raise ValueError(f"{whole[:80]!r} is no member of an alias: {error}{hint}") from None
    return Member("user" if final else "address", text, address)


def _closes(text: str) -> bool:
    """Whether the quote that a text begins with ends where the text does."""
    at = 1
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == '"':
            return at == len(text) - 1
        at += 1
    return False


def _bare(text: str) -> str:
    """An address without comments, out of its angle brackets.  Raises ValueError."""
    if "(" in text:
        out, depth, quoted = "", 0, False
        for at, char in enumerate(text):
            if char == '"' and not depth and text[at - 1 : at] != "\\":
                quoted = not quoted
            if quoted or char not in "()":
                out += "" if depth else char
            else:
                depth += 1 if char == "(" else -1
        text = out.strip()
    if text.endswith(">"):
        _, bracket, inner = text[:-1].rpartition("<")
        if not bracket:
            raise ValueError(f"{text[:80]!r}: expected < before >")
        return inner.strip()
    return text
