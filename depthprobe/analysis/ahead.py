"""Whether one network is ahead of another, and whether one that becomes smaller is beyond recovery."""

from collections.abc import Sequence

from depthprobe.analysis.scores import FloatArray


def is_ahead(one: FloatArray, other: FloatArray) -> bool:
    """Whether `one` is better than `other` by more than the difference's standard error; (N,) scores of the same
    examples.
    """
    ahead = one - other
    return bool(ahead.mean() > ahead.std(ddof=1) / len(ahead) ** 0.5)


def is_beyond(values: Sequence[float], beyond: float) -> bool:
    """Whether the last two measurements are both more than `beyond` below the best: no recovery is to be expected."""
    return len(values) > 2 and max(values[-2:]) < max(values) - beyond
