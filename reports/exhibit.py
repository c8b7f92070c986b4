"""What a report shows below the answer: sections of exhibits, each a figure with the tables behind it."""

from collections.abc import Callable
from dataclasses import dataclass

from depthprobe.reports.figures import Figure
from depthprobe.reports.tables import Table


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A figure and its numbers. name: unique in its run; draw: makes the figure when it is needed (None: tables only);
    tables: the same in words and numbers; unfolded: they are to be seen at once; beside: it takes half a line.
    """

    name: str
    caption: str
    tables: tuple[Table, ...]
    draw: Callable[[], Figure] | None = None
    unfolded: bool = False
    beside: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """One heading. text: sentences before its exhibits."""

    title: str
    exhibits: tuple[Exhibit, ...]
    text: tuple[str, ...] = ()
