"""Arguments: a table of options, and what an argument vector says in its terms.

The conventions are POSIX's and GNU's: ``-h host`` and ``-hhost``, flags grouped as ``-nv``, ``--long value``
and ``--long=value``, ``--`` before operands that begin with a hyphen.  Long names are never abbreviated, so
that a new option never changes what an old script means.  Options end at the first operand unless the
program says `intermixed`: programs that are handed addresses by a mail router leave it unset, so that a
recipient that begins with a hyphen stays a recipient.

`parse` raises `UsageError`, one line that names the nearest spelling, or `Say` when help or the version
was asked for.  Nothing is imported at start: argparse would take as long as the rest of a
one-shot program.
"""

from __future__ import annotations

from mether import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

WIDTH: Final = 79
"""Columns of the help text."""

MEANING: Final = {
    0: "done",
    64: "the arguments are wrong",
    65: "the input cannot be used",
    66: "an input does not exist",
    67: "a recipient is unknown",
    68: "a host is unknown",
    69: "refused, or a service is not available",
    70: "an error inside the program",
    71: "the system refused a resource",
    73: "an output could not be created",
    74: "an error in reading or writing",
    75: "not now; the same may succeed later",
    76: "a peer violated the protocol",
    77: "no permission",
    78: "the configuration is wrong",
}
"""The statuses of sysexits(3) in words."""


class UsageError(Exception):
    """The arguments are wrong; str() says how, in one line."""

    sysexit = 64


class Say(Exception):
    """Not an error: the text is to be printed on stdout, and the program has done its work."""


class Option:
    """An option: its one-letter `flag` and its long `name` (either may be ``""``), and its `help`.

    `value` names the argument it takes, ``""`` for a flag that takes none.  With `attached` the
    argument may be left out and counts only when written in the same word (``-q15m``).  `many` options may
    be given more than once; `choices` limits the argument.
    """

    __slots__ = ("attached", "choices", "flag", "help", "many", "name", "value")

    def __init__(
        self,
        flag: str,
        name: str,
        help: str,
        *,
        value: str = "",
        attached: bool = False,
        many: bool = False,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.flag = flag
        self.name = name
        self.help = help
        self.value = value
        self.attached = attached
        self.many = many
        self.choices = choices

    @property
    def key(self) -> str:
        """What the option is known by: its long name, or its letter when it has none."""
        return self.name or self.flag


COMMON: Final = (
    Option("C", "config", "read this configuration file", value="FILE"),
    Option("", "spool", "use this queue: sqlite:DIR or directory:DIR", value="URL"),
    Option("", "no-sysexits", "exit with 1 for every failure (also: $NOSYSEXITS)"),
    Option("", "help", "print this help"),
    Option("", "version", "print the version"),
)
"""What every program takes that works with the queue."""

JSON: Final = Option("", "json", "print JSON, one object a line")


class Program:
    """What a program takes and does: the source of its parsing and of its help.

    `synopsis` are usages without the program's name; `about` one or more paragraphs; `options` those
    beyond COMMON, of which one that has no use for a queue leaves out --spool (`queue`); `exits` its
    statuses, each a number or (number, words); `files` pairs of path and words.  `narrow` gives what is told
    of the command that stands before ``--help``, None: everything.
    """

    __slots__ = ("about", "exits", "files", "intermixed", "name", "narrow", "options", "synopsis")

    def __init__(
        self,
        name: str,
        synopsis: Sequence[str],
        about: str,
        options: Iterable[Option] = (),
        *,
        exits: Sequence[int | tuple[int, str]] = (0, 64, 70, 75, 78),
        files: Sequence[tuple[str, str]] = (),
        intermixed: bool = False,
        queue: bool = True,
        narrow: Callable[[Sequence[str]], Program | None] | None = None,
    ) -> None:
        self.name = name
        self.synopsis = synopsis
        self.about = about
        common = COMMON if queue else (one for one in COMMON if one.name != "spool")
        self.options = (*options, *common)
        self.exits = exits
        self.files = files
        self.intermixed = intermixed
        self.narrow = narrow


class Parsed:
    """The options that were given, by their `Option.key`, and the operands in order."""

    __slots__ = ("_given", "operands")

    def __init__(self, given: dict[str, list[str]], operands: list[str]) -> None:
        self._given = given
        self.operands = operands

    def flag(self, key: str) -> bool:
        """Whether the option was given."""
        return key in self._given

    def text(self, key: str) -> str | None:
        """The option's argument, the last one if it was given more than once; None when it was not."""
        values = self._given.get(key)
        return values[-1] if values else None

    def all(self, key: str) -> list[str]:
        """Every argument of an option that may be given more than once."""
        return self._given.get(key, [])

    def number(self, key: str, *, least: float = 0, whole: bool = True) -> float | None:
        """The option's argument as a number of at least `least`.  Raises UsageError."""
        text = self.text(key)
        if text is None:
            return None
        try:
            number: float = int(text) if whole else float(text)
        except ValueError:
            number = least - 1
        if not least <= number < 1e15:
            dash = "-" if len(key) == 1 else "--"
            kind = "a whole number" if whole else "a number"
            raise UsageError(f"{dash}{key}: {text!r} is not {kind} of at least {least:g}")
        return number


def is_text(argument: str) -> bool:
    """Whether an argument was in the encoding of arguments: what was not has lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in argument)


def parse(program: Program, argv: Sequence[str]) -> Parsed:
    """Read an argument vector (without the program's name).  Raises UsageError or Say."""
    flags = {option.flag: option for option in program.options if option.flag}
    names = {option.name: option for option in program.options if option.name}
    given: dict[str, list[str]] = {}
    operands: list[str] = []
    i = 0
    while i < len(argv):
        word = argv[i]
        i += 1
        if word == "--":
            operands += argv[i:]
            break
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if not program.intermixed:
                operands += argv[i:]
                break
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            option = names.get(name)
            if option is None:
                raise UsageError(f"unknown option --{name}{_nearest(name, names)}")
            if equals:
                if not option.value:
                    raise UsageError(f"--{name} takes no argument")
                _give(given, option, "--" + name, value)
            elif not option.value or option.attached:
                _give(given, option, "--" + name, "")
            else:
                if i == len(argv):
                    raise UsageError(f"--{name} needs an argument: --{name} {option.value}")
                _give(given, option, "--" + name, argv[i])
                i += 1
        else:
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                option = flags.get(letter)
                if option is None:
                    hint = _nearest(word[1:], names) if len(word) > 2 else ""
                    raise UsageError(f"unknown option -{letter}{hint}")
                if not option.value:
                    _give(given, option, "-" + letter, "")
                    continue
                if not rest and not option.attached:
                    if i == len(argv):
                        raise UsageError(f"-{letter} needs an argument: -{letter} {option.value}")
                    rest = argv[i]
                    i += 1
                _give(given, option, "-" + letter, rest)
                rest = ""
        # Asked for help, a program helps, whatever else is wrong with the arguments that follow.
        if "help" in given:
            raise Say(help_text((program.narrow and program.narrow(operands)) or program))
        if "version" in given:
            of = "" if program.name == "mether" else " (mether)"
            raise Say(f"{program.name}{of} {__version__}\n")
    return Parsed(given, operands)


def _give(given: dict[str, list[str]], option: Option, word: str, value: str) -> None:
    if option.choices and value not in option.choices:
        raise UsageError(f"{word}: {value!r} is not one of {', '.join(option.choices)}")
    if option.key in ("config", "spool") and not value:
        raise UsageError(f"{word}: an empty name; expected {option.value}")
    if option.value and not option.many and option.key in given:
        raise UsageError(f"{word} is given twice")
    given.setdefault(option.key, []).append(value)


def _nearest(name: str, names: Iterable[str]) -> str:
    from mether.setup.spelling import nearest

    match = nearest(name, names)
    return f" (did you mean --{match}?)" if match else ""


def help_text(program: Program) -> str:
    """What ``--help`` prints."""
    lines = []
    for number, usage in enumerate(program.synopsis):
        lead = "usage: " if number == 0 else "       "
        lines += _wrap(f"{program.name} {usage}".rstrip(), lead, " " * 11)
    lines.append("")
    for paragraph in program.about.strip().split("\n\n"):
        lines += [*_wrap(" ".join(paragraph.split()), "", ""), ""]
    lines.append("options:")
    rows = [(_left(option), option.help) for option in program.options]
    lines += _columns(rows)
    lines += ["", "exit status (sysexits(3)):"]
    pairs = [(exit, MEANING[exit]) if isinstance(exit, int) else exit for exit in program.exits]
    lines += _columns([(str(status), words) for status, words in pairs])
    if program.files:
        lines += ["", "files:", *_columns(list(program.files))]
    return "\n".join(lines) + "\n"


def _left(option: Option) -> str:
    words = []
    if option.flag:
        words.append(f"-{option.flag}")
    if option.name:
        words.append(f"--{option.name}")
    left = ", ".join(words)
    if option.value:
        left += f"[{option.value}]" if option.attached else f" {option.value}"
    return left if option.flag else "    " + left


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    """Rows of two columns; the right one is wrapped beside a left one of at most 28 columns."""
    width = min(28, max(len(left) for left, _ in rows))
    lines = []
    for left, right in rows:
        lead = f"  {left:<{width}}  "
        if len(left) > width:
            lines.append(f"  {left}")
            lead = " " * (width + 4)
        lines += _wrap(right, lead, " " * (width + 4))
    return lines


def _wrap(text: str, lead: str, indent: str) -> list[str]:
    """The words of `text` in lines of at most WIDTH, the first after `lead`, the others after `indent`."""
    lines, line = [], lead
    empty = True
    for word in text.split():
        if not empty and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line, empty = indent, True
        line += word if empty else " " + word
        empty = False
    return [*lines, line]
