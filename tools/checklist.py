"""docs/conformance.md: each demand of docs/checklist.toml, with the tests that cite it.

    python tools/checklist.py [--check]

Tests cite a demand by its name (CMD-1) in a docstring or a comment; dialogue files in their remarks; fuzz
targets in their text.  Without --check the document is written.  The exit status is 1 when a
demand has neither test nor note, when a name is cited that no demand has, and, with --check, when the
document is not what would be written.  Each complaint is a line.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMANDS = ROOT / "docs" / "checklist.toml"
DOCUMENT = ROOT / "docs" / "conformance.md"

LEVELS = ("MUST", "SHOULD", "MAY", "POLICY")
NAME = r"(?<![\w-])(\d?[A-Z]{2,3})(-\d+)?(?![\w-])"
RANGE = r"(?<![\w-])(\d?[A-Z]{2,3})-(\d+) to \1-(\d+)(?![\w-])"
# Families that go on beyond this list.
OPEN = ("EXT",)

HEAD = """\
# Conformance

What the standards demand, and which tests show that it holds. Made by `tools/checklist.py` from
`docs/checklist.toml` and from the names that tests cite; `make check` says when it is not current. The
demands are told in short: the RFCs rule. POLICY is this project's own rule where no standard decides.

A file under `tests/dialogs` is a conversation that `tests/dialogs/test_dialogs.py` holds in memory, over
TCP and over TLS; one under `fuzz` is a fuzz target.
"""

Demands = dict[str, dict[str, dict[str, str]]]


def cited(text: str, families: frozenset[str]) -> set[str]:
    """The names in a text; a family's own name (LIM) counts when it stands alone."""
    found = {f"{family}{number}" for family, number in re.findall(NAME, text) if family in families}
    for family, first, last in re.findall(RANGE, text):
        if family in families:
            found |= {f"{family}-{number}" for number in range(int(first), int(last) + 1)}
    return found


def in_python(path: Path, families: frozenset[str]) -> dict[str, set[str]]:
    """Name -> the tests of a file that cite it, as pytest names them; or the file, outside a test."""
    source = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    spans: list[tuple[int, int, str]] = []
    texts: list[tuple[int, str]] = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                texts.append((node.body[0].lineno, text))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for body, prefix in [(tree.body, ""), *((one.body, f"{one.name}::") for one in classes)]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                spans.append((first, node.end_lineno or node.lineno, f"{name}::{prefix}{node.name}"))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts += [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    found: dict[str, set[str]] = {}
    for line, text in texts:
        where = next((test for first, last, test in spans if first <= line <= last), name)
        for item in cited(text, families):
            found.setdefault(item, set()).add(where)
    return found


def in_text(path: Path, families: frozenset[str], *, remarks: bool) -> dict[str, set[str]]:
    """Name -> the file, for each name it cites (in lines that begin with # only)."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("#") or not remarks]
    where = path.relative_to(ROOT).as_posix()
    return {item: {where} for item in cited("\n".join(lines), families)}


def citations(families: frozenset[str]) -> dict[str, set[str]]:
    """Name -> everything that cites it."""
    every: dict[str, set[str]] = {}
    tests = ROOT / "tests"
    modules = [path for path in tests.rglob("*.py") if path.relative_to(tests).parts[0] != "support"]
    found = [in_python(path, families) for path in modules]
    found += [in_text(path, families, remarks=True) for path in (tests / "dialogs").glob("*.txt")]
    found += [in_text(path, families, remarks=False) for path in (ROOT / "fuzz").glob("*.py")]
    for one in found:
        for item, where in one.items():
            every.setdefault(item, set()).update(where)
    return every


def document(demands: Demands, found: dict[str, set[str]]) -> str:
    """The whole of docs/conformance.md."""
    parts = [HEAD]
    for title, items in demands.items():
        parts.append(f"## {title}\n")
        for name, item in items.items():
            source = "; ".join(part if part == "own" else f"RFC {part}" for part in item["rfc"].split("; "))
            lines = [f"**{name}** ({item['level']}; {source}) {item['demand']}\n"]
            lines += [f"- `{where}`" for where in sorted(found.get(name, ()))]
            if note := item.get("note"):
                lines.append(f"- {note}")
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def complaints(demands: Demands, found: dict[str, set[str]]) -> list[str]:
    """What is wrong with the demands and their citations, a line each."""
    lines = []
    names = {name for items in demands.values() for name in items}
    for items in demands.values():
        for name, item in items.items():
            if item["level"] not in LEVELS or set(item) - {"note"} != {"level", "rfc", "demand"}:
                expected = f"level ({', '.join(LEVELS)}), rfc, demand and perhaps note"
                lines.append(f"docs/checklist.toml: {name}: expected {expected}")
            if not found.get(name) and not item.get("note"):
                lines.append(f"docs/checklist.toml: {name}: no test cites it, and no note says why")
    unknown = [name for name in sorted(set(found) - names) if "-" in name and name.split("-")[0] not in OPEN]
    return lines + [
        f"{min(found[name])}: cites {name}, which is not in docs/checklist.toml" for name in unknown
    ]


def main(arguments: list[str]) -> int:
    """Write or check the document; the exit status."""
    demands: Demands = tomllib.loads(DEMANDS.read_text())
    families = frozenset(name.partition("-")[0] for items in demands.values() for name in items)
    found = citations(families)
    text = document(demands, found)
    wrong = complaints(demands, found)
    if "--check" in arguments:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != text:
            wrong.append("docs/conformance.md is not current: run python tools/checklist.py")
    else:
        DOCUMENT.write_text(text)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
