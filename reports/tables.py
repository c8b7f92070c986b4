"""Tables as plain values: the page and the terminal show the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """cells: one text per column, the first names the row; what follows a newline in a cell is its small print. mark:
    "recommended", "current", "control" or ""; tags: words behind the name.
    """

    cells: tuple[str, ...]
    mark: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """caption: what it shows; columns: their heads, small print after a newline; code: rows are named by what a program
    calls them.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    code: bool = False


def plain(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, code: bool = False) -> Table:
    """A table of texts without marks."""
    return Table(
        caption=caption, columns=tuple(columns), rows=tuple(Row(cells=tuple(cells)) for cells in rows), code=code
    )
