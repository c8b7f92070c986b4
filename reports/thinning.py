"""Fewer points of a long series, with its ends, peaks and dips where they were."""

from collections.abc import Sequence
from typing import TypeVar

MOST_POINTS = 2_000  # of one series in a page
MOST_IN_FIGURE = 20_000  # of all series of one figure
MOST_CELLS = 60_000  # of all maps of ratios

T = TypeVar("T")


def points_each(series: int) -> int:
    """How many points each of so many series of a figure may have."""
    return max(20, min(MOST_POINTS, MOST_IN_FIGURE // max(1, series)))


def extremes(values: Sequence[float], most: int) -> list[int]:
    """Indices of at most `most` values, ascending: the first, the last, and least and greatest of equal stretches.

    All of them where there are no more than that; most: at least 4.
    """
    if len(values) <= most:
        return list(range(len(values)))
    stretches = (most - 2) // 2
    kept = {0, len(values) - 1}
    for stretch in range(stretches):
        begin = stretch * len(values) // stretches
        part = range(begin, (stretch + 1) * len(values) // stretches)
        kept |= {min(part, key=values.__getitem__), max(part, key=values.__getitem__)}
    return sorted(kept)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0..count-1, evenly spaced, both ends among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(rank * (count - 1) / (most - 1)) for rank in range(most)})


def pick(values: Sequence[T], indices: Sequence[int]) -> tuple[T, ...]:
    """The values at these indices."""
    return tuple(values[index] for index in indices)
