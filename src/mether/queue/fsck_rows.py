"""What the columns of the queue's tables may hold, and whether a row that was read from a page does.  Pure.

A row whose octets were changed often still has a shape; it is taken only where every value is of its column's
type.  `Table.row` says what is to be written for it, and `Table.fits` finds whose a page's rows are when the
way to it is lost.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mether.queue.fsck_pages import Value, Values

_TYPES: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "REAL": (float, int),
    "TEXT": (str,),
    "BLOB": (bytes,),
}


class Column:
    """A column: its type, whether it may be NULL, and whether it has a default."""

    __slots__ = ("default", "kind", "name", "null")

    def __init__(self, name: str, kind: str, *, null: bool, default: bool) -> None:
        self.name = name
        self.kind = kind
        self.null = null
        self.default = default


class Table:
    """A table as its rows are stored.  `alias` is the place of the column that is the rowid, -1 for none;
    `rowid` tells whether it has one at all.  A table without has its key's columns first."""

    __slots__ = ("alias", "columns", "name", "rowid")

    def __init__(self, name: str, columns: Sequence[Column], *, alias: int, rowid: bool) -> None:
        self.name = name
        self.columns = columns
        self.alias = alias
        self.rowid = rowid

    def row(self, rowid: int, values: Values) -> Values | None:
        """The values of as many columns as the row has; None when they are not of this table.

        A row that was written before columns were added is shorter: the rest have defaults.
        """
        if len(values) > len(self.columns):
            return None
        row: Values = []
        for place, column in enumerate(self.columns):
            if place >= len(values):
                if not (column.null or column.default):
                    return None
                continue
            value = values[place]
            if place == self.alias:
                if value is not None:
                    return None
                value = rowid
            if not _holds(column, value):
                return None
            row.append(float(value) if column.kind == "REAL" and isinstance(value, int) else value)
        return row

    def fits(self, rows: Sequence[tuple[int, Values]]) -> bool:
        """Whether all of a page's rows can be of this table, in order of its keys."""
        return bool(rows) and all(self.row(rowid, values) is not None for rowid, values in rows)


def _holds(column: Column, value: Value) -> bool:
    if value is None:
        return column.null
    if isinstance(value, float) and value - value != 0:
        return False  # no time is infinite
    return isinstance(value, _TYPES.get(column.kind, (int, float, str, bytes)))


def described(name: str, found: Sequence[tuple[int, str, str, int, object, int]], *, rowid: bool) -> Table:
    """The table that ``PRAGMA table_info`` describes."""
    order = sorted(found, key=lambda row: row[0])
    keys = sorted((row for row in order if row[5]), key=lambda row: row[5])
    if not rowid:
        order = [*keys, *(row for row in order if not row[5])]
    alias = -1
    if rowid and len(keys) == 1 and keys[0][2].upper() == "INTEGER":
        alias = order.index(keys[0])
    columns = [
        Column(row[1], row[2].upper(), null=not row[3] and not row[5], default=row[4] is not None)
        for row in order
    ]
    return Table(name, columns, alias=alias, rowid=rowid)
