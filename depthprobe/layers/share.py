"""Share: which samples enter a unit with BatchNorm, whose statistics need several at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from depthprobe.layers.part import Part

MIN_NORM_SAMPLES = 8


@dataclass(frozen=True)
class Share:
    """skip: how many samples of a part, its first ones, go around the unit; weight: the share (0..1) of the samples
    that its norms could see at once which they do see.
    """

    skip: int
    weight: float


@lru_cache(maxsize=4096)
def coarse(part: Part) -> bool:
    """Whether norms see so few samples that a gate around them would jump over more than half of its way."""
    return 2 * min(MIN_NORM_SAMPLES, *_sizes(part)) > part.batch


@lru_cache(maxsize=4096)
def share_of(part: Part, skipping: int) -> Share:
    """What `part` does when the first `skipping` samples of the batch should skip.

    They are a prefix of the batch where every norm then sees at least 8. Else (a batch in many parts, each with norms
    of its own) the first groups skip as a whole, as many as bring the batch nearest to what was asked for: the gate's
    share of the batch is off by 4 samples at most, in however many parts the batch is computed.
    """
    sizes = _sizes(part)
    least = max(MIN_NORM_SAMPLES, part.beside)  # a process without a sample would be missing in the statistics
    enter = _entering_as_prefix(part, skipping)
    if any(count < min(least, size) for count, size in zip(enter, sizes, strict=True)):
        enter = gather(part.batch - skipping, sizes, least)
    group, index = divmod(part.index, part.beside)
    skip = Part(index, part.beside, sizes[group], 1).first(sizes[group] - enter[group])
    return Share(skip, enter[group] / sizes[group])


def gather(wanted: int, sizes: Sequence[int], least: int) -> list[int]:
    """How many samples of each group enter: none, or at least `least` (all of a smaller group).

    sizes: of the groups, none larger than the one before. The last groups enter, together as near to `wanted` as can
    be.
    """
    best, groups = 0, 0
    for count in range(1, len(sizes) + 1):
        last = sizes[-count:]
        total = min(max(wanted, sum(min(least, size) for size in last)), sum(last))
        if (abs(total - wanted), -total) < (abs(best - wanted), -best):
            best, groups = total, count
    enter = [0] * len(sizes)
    for left in range(groups, 0, -1):  # the last group, the smallest, first: the others take what it cannot
        place = len(sizes) - 1 - groups + left
        enter[place] = min(sizes[place], best // left)
        best -= enter[place]
    return enter


def _entering_as_prefix(part: Part, skipping: int) -> list[int]:
    parts = [part.other(index) for index in range(part.of)]
    return _by_group(part, [one.size - one.first(skipping) for one in parts])


def _sizes(part: Part) -> list[int]:
    return _by_group(part, [part.other(index).size for index in range(part.of)])


def _by_group(part: Part, counts: list[int]) -> list[int]:
    """Sums over the parts that a norm sees at once."""
    return [sum(counts[begin : begin + part.beside]) for begin in range(0, part.of, part.beside)]
