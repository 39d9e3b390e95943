"""Statements kept in .sql files beside this module, by name.

A file of statements has a line ``-- name: NAME`` before each; what stands between is the statement.
"""

from __future__ import annotations

import os

_HERE = os.path.dirname(os.path.abspath(__file__))


def text(file: str) -> str:
    """The whole file, for scripts such as a schema."""
    with open(os.path.join(_HERE, file), encoding="utf-8") as source:
        return source.read()


def load(file: str) -> dict[str, str]:
    """The file's statements by name."""
    statements = {}
    for part in text(file).split("-- name: ")[1:]:
        name, _, statement = part.partition("\n")
        statements[name.strip()] = statement.strip()
    return statements
