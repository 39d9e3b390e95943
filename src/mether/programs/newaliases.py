"""newaliases: there is no database of aliases to rebuild, so nothing is done but to look at them.

Alias files are read again by themselves when they have changed.  What is wrong with one of them is said, as
mail for its names waits until that is mended.
"""

from __future__ import annotations

import sys

from mether.programs import errors
from mether.programs.options import Program, UsageError, parse

PROGRAM = Program(
    "newaliases",
    ("[-C FILE]",),
    """Looks at the alias files that the configuration names, and at the lists that they include, and says
    what is wrong with them.  Loops, and members that are no users here, are warnings.  Otherwise it does
    nothing, cheerfully: they are read again by themselves when they have changed.  sendmail -bi does the
    same.""",
    exits=(
        0,
        64,
        (65, "something is wrong with the aliases"),
        70,
        77,
        78,
    ),
    files=(("/etc/aliases", "the aliases, where the configuration names that file"),),
)


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("newaliases", _work, argv)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    if given.operands:
        raise UsageError(f"unexpected operand {given.operands[0]!r}")
    return look(given.text("config"), "newaliases")


def look(config: str | None, program: str) -> int:
    """Look at the aliases of the configuration in a file, of the usual one for None; the exit status."""
    from mether.routing.source import TableError
    from mether.routing.tables_file import Reread
    from mether.setup import alias_check, alias_reach, locate
    from mether.setup import config as config_

    router = config_.load(locate.find_config(config)).router()
    rules = router.rules
    wrong: list[str] = []
    for rule in rules:
        for source in rule.aliases:
            if isinstance(source, Reread):
                try:
                    source.load()
                except TableError as error:
                    wrong.append(str(error))
    wrong += [*alias_check.complaints(rules), *alias_check.troubles(rules)]
    for line in dict.fromkeys(wrong):
        errors.complain(program, line)
    for line in alias_reach.complaints(router):
        errors.complain(program, f"warning: {line}")
    return errors.DATAERR if wrong else errors.OK


if __name__ == "__main__":
    sys.exit(main())
