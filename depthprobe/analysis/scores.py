"""What one seed hands to the deciding rule: a score per candidate depth and validation example."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from depthprobe.errors import ConfigError, DataError, TrainingError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SeedScores:
    """One seed's per-example scores on its validation fold; their mean over examples is the metric.

    seed: the training seed.
    candidates: (K, N) float, the cooled walk-down measurement of each candidate depth, depths ascending; for
        accuracy 0 or 1 per example, so that the metric is a fraction.
    control: (N,) float, the control arm (same data order, same number of updates, no growth).
    examples: identity of the validation fold: equal strings mean the same examples in the same order.
    """

    seed: int
    candidates: FloatArray
    control: FloatArray
    examples: str


def check_scores(scores: Sequence[SeedScores], depths: Sequence[int], current: int) -> None:
    """Raise when the scores cannot be compared: shapes, finiteness, depths, folds, seeds.

    TrainingError when no seed is left; ConfigError for depths, current or a seed given twice; DataError for
    arrays of the wrong shape, non-finite scores, or one fold name with different numbers of examples.
    """
    if not scores:
        raise TrainingError(
            "every seed failed: there is nothing to decide on",
            expected="scores of at least one finished seed",
            hint="depthprobe inspect RUN, then a smaller learning rate",
        )
    if not depths or any(b <= a for a, b in pairwise(depths)):
        raise ConfigError("candidate depths must ascend", where="depths", found=str(tuple(depths)))
    if current not in depths:
        raise ConfigError(
            "the current depth must be one of the candidates",
            where="current",
            expected=f"one of {tuple(depths)}",
            found=str(current),
        )
    if len({one.seed for one in scores}) < len(scores):
        found = str([one.seed for one in scores])
        raise ConfigError("a seed was given twice", where="scores", expected="distinct seeds", found=found)
    sizes: dict[str, int] = {}
    for one in scores:
        _check_seed(one, len(depths))
        examples = one.control.shape[0]
        if sizes.setdefault(one.examples, examples) != examples:
            raise DataError(
                f"seed {one.seed}: validation fold {one.examples!r} changed its size",
                expected=f"{sizes[one.examples]} examples",
                found=str(examples),
            )


def _check_seed(one: SeedScores, depths: int) -> None:
    shape, control = np.shape(one.candidates), np.shape(one.control)
    if len(control) != 1 or shape != (depths, control[0]) or control[0] < 2:
        raise DataError(
            f"seed {one.seed}: scores have the wrong shape",
            expected=f"candidates ({depths}, N), control (N,), N at least 2",
            found=f"candidates {shape}, control {control}",
        )
    if not (np.isfinite(one.candidates).all() and np.isfinite(one.control).all()):
        raise DataError(
            f"seed {one.seed}: scores are not finite",
            hint="leave failed seeds out of `scores` and count them",
        )
