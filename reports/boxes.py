"""Boxes of a drawn network, and how many of them share one where the network is long."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

KEPT_FIRST, KEPT_LAST = 3, 2  # boxes of a long unchanged stretch that stay by themselves


@dataclass(frozen=True, kw_only=True)
class Box:
    """One unit, or `times` neighbours. before, after: channels of its output, 0 where it is not there, of the widest in
    a fold; least: of the narrowest one, as it is after the change, or before a removal.
    """

    name: str
    kind: str
    before: int
    after: int
    times: int = 1
    least: int = 0

    @property
    def change(self) -> str:
        """Either "added", "removed", "narrowed", or "" when nothing happens to it."""
        if self.before == 0:
            return "added"
        if self.after == 0:
            return "removed"
        return "narrowed" if self.after < self.before else ""

    @property
    def width(self) -> str:
        """Channels in words: "16", "16 to 64" of a fold, "16 → 8" of a narrower one."""
        if self.change == "narrowed":
            return f"{self.before:,} → {self.after:,}"
        most = self.after or self.before
        return f"{self.least:,} to {most:,}" if 0 < self.least < most else f"{most:,}"


def fold(boxes: Sequence[Box], most: int) -> tuple[Box, ...]:
    """At most about `most` boxes: equal neighbours share one first, then the middle of what stays as it is, then all
    neighbours to which the same happens.
    """
    shown = list(boxes)
    for step in (_equal, _middle, _same_change):
        if len(shown) <= most:
            break
        shown = step(shown)
    return tuple(shown)


def _equal(boxes: Sequence[Box]) -> list[Box]:
    return _merge_neighbours(boxes, lambda box: (box.kind, box.before, box.after))


def _same_change(boxes: Sequence[Box]) -> list[Box]:
    return _merge_neighbours(boxes, lambda box: box.change)


def _middle(boxes: Sequence[Box]) -> list[Box]:
    shown: list[Box] = []
    for change, group in groupby(boxes, key=lambda box: box.change):
        found = list(group)
        if change or len(found) <= KEPT_FIRST + KEPT_LAST + 1:
            shown += found
        else:
            shown += [*found[:KEPT_FIRST], _merged(found[KEPT_FIRST:-KEPT_LAST]), *found[-KEPT_LAST:]]
    return shown


def _merge_neighbours(boxes: Iterable[Box], key: Callable[[Box], Hashable]) -> list[Box]:
    return [_merged(list(group)) for _, group in groupby(boxes, key=key)]


def _merged(boxes: Sequence[Box]) -> Box:
    """One box for neighbours; its kind is theirs, or "units" where they differ."""
    first, last = boxes[0], boxes[-1]
    if len(boxes) == 1:
        return first
    kinds = {box.kind for box in boxes}
    return replace(
        first,
        name=first.name if first.name == last.name else f"{_begin(first.name)} to {_end(last.name)}",
        kind=first.kind if len(kinds) == 1 else "units",
        before=max(box.before for box in boxes),
        after=max(box.after for box in boxes),
        times=sum(box.times for box in boxes),
        least=min(box.least or box.after or box.before for box in boxes),
    )


def _begin(name: str) -> str:
    return name.split(" to ")[0]


def _end(name: str) -> str:
    return name.rsplit(" to ")[-1]
