"""Check that the tests mirror the tree: src/mether/a/b.py is tested by tests/a/test_b.py.

    python tools/mirror.py

Who looks for the tests of a module finds them without searching.  A module whose tests are many may
have tests/a/test_b_*.py instead.  A part of a module, named after it (b_part.py beside b.py), may share its
tests.  A module with nothing in it but a docstring needs none.  The few
exceptions below say where they are tested instead, and that file must exist.  Prints a line for each
module without tests and for each exception that is not needed; then the exit status is 1.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "mether"
TESTS = ROOT / "tests"

ELSEWHERE: dict[str, str] = {
    # module: what shows it instead, relative to tests/
    # An interface, and the stores that keep it: one contract suite, which all of them pass.
    "queue/store.py": "store/contract.py",
    "queue/memory.py": "store/test_memory.py",
    # The SQLite store's own floor: seen only through its verbs, and by the power cuts.
    "queue/database.py": "store/test_sqlite.py",
    "queue/spool.py": "store/test_sqlite.py",
    "queue/sql.py": "store/test_sqlite.py",
}


def missing(source: Path, tests: Path, elsewhere: dict[str, str]) -> list[str]:
    """A line for each module under `source` without its test, and for each idle exception."""
    complaints = []
    unused = dict(elsewhere)
    for module in sorted(source.rglob("*.py")):
        name = module.relative_to(source)
        if _is_empty(module):
            continue
        if any(part.with_suffix(".py").exists() for part in _whole(module)):
            continue
        stem = name.stem if name.stem != "__init__" else name.parent.name or source.name
        where = tests / name.parent if name.stem != "__init__" else tests / name.parent.parent
        if (where / f"test_{stem}.py").exists() or list(where.glob(f"test_{stem}_*.py")):
            continue
        instead = unused.pop(name.as_posix(), None)
        if instead is None:
            expected = (where / f"test_{stem}.py").relative_to(tests.parent)
            complaints.append(f"{module.relative_to(source.parent.parent)}: expected its tests in {expected}")
        elif not (tests / instead).exists():
            complaints.append(f"{name}: its tests are said to be in tests/{instead}, which does not exist")
    complaints += [f"{name}: the exception is not needed any more" for name in unused]
    return complaints


def _whole(module: Path) -> list[Path]:
    """What the module may be a part of: a_b_c.py of a_b.py and of a.py."""
    words = module.stem.split("_")
    return [module.with_name("_".join(words[:count])) for count in range(1, len(words)) if words[0]]


def _is_empty(module: Path) -> bool:
    body = ast.parse(module.read_bytes()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def main() -> int:
    """Print what is missing; returns the exit status."""
    complaints = missing(SOURCE, TESTS, ELSEWHERE)
    for line in complaints:
        print(line)
    if complaints:
        print(f"mirror: {len(complaints)} to mend; exceptions are listed in tools/mirror.py", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
