"""How often the rule names each depth when seeds and examples are drawn anew."""

from collections.abc import Sequence

import numpy as np

from depthprobe.analysis.choice import Chooser
from depthprobe.analysis.scores import FloatArray


def name_depths(
    chooser: Chooser,
    depths: Sequence[int],
    curve: FloatArray,
    cov: FloatArray,
    df: float,
    *,
    fitted: bool,
    resamples: int,
    rng_seed: int,
) -> dict[int, float]:
    """Share of resamples that name each depth, depths never named left out; shares sum to 1.

    curve: (K,) the estimated curve, around which new measurements are drawn with covariance cov (K, K):
    seeds and examples at once. Drawing two or three seeds with replacement instead would understate their
    variance (by a third with three), and one seed could not be drawn at all; cov pools what all depths say
    about it.
    """
    rng = np.random.default_rng(rng_seed)
    noise = rng.standard_normal((resamples, len(curve))) @ np.linalg.cholesky(cov).T
    noise *= np.sqrt(df / rng.chisquare(df, size=(resamples, 1)))
    choice = chooser.choose(curve + noise, fitted=fitted)
    named = np.where(choice.chosen < 0, choice.guess, choice.chosen)
    counts = np.bincount(named, minlength=len(depths))
    return {depth: count / resamples for depth, count in zip(depths, counts.tolist(), strict=True) if count}


def smallest_range(shares: dict[int, float], mass: float = 0.95) -> tuple[int, int]:
    """Find the (first, last) depth of the range over fewest depths that holds `mass` of the shares."""
    depths = sorted(shares)
    weights = [shares[depth] for depth in depths]
    for width in range(1, len(depths) + 1):
        held = [sum(weights[start : start + width]) for start in range(len(depths) - width + 1)]
        start = int(np.argmax(held))
        if held[start] >= mass - 1e-9:
            break
    return depths[start], depths[start + width - 1]
