"""How far chance alone moves the measured curve: variances over seeds and over validation examples."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from depthprobe.analysis.scores import FloatArray, SeedScores

# What is assumed before any data, on a metric that is a fraction: seeds move neighbouring depths against
# each other by 0.3 points, and all depths together by 0.3 points (DESIGN section 4). Worth PRIOR_DF degrees
# of freedom: it alone speaks with one seed, steadies two or three, and fades with more.
SEED_BY_DEPTH_SD = 0.003
SEED_SD = 0.003
PRIOR_DF = 4.0
# Depths this far below the best tell how seeds differ where nobody doubts the answer: a one-layer network at 40 %
# scatters ten times as much as those at 97 % among which one has to choose. They keep a variance of their own, in which
# the pooled one weighs as FAR_DF seeds do.
NEAR = 0.04
FAR_DF = 1.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Means and covariances of the measured curve; the control is the last column, K + 1 in all.

    means: (K + 1,) mean over seeds. by_seed: (S, K + 1) mean over examples. example_cov: (K + 1, K + 1)
    covariance of `means` that comes from the finite validation set. seed_variance: (K + 1,) variance of one
    seed-by-depth effect, with seed_df degrees of freedom: pooled over the depths near the best; those far below,
    `far` (K + 1,) bool, have their own. total_seed_variance: (K + 1,) the same with the effect of the seed
    on all depths together; only for intervals of single means (it cancels in differences), with total_df.
    """

    means: FloatArray
    by_seed: FloatArray
    example_cov: FloatArray
    seed_variance: FloatArray
    seed_df: float
    total_seed_variance: FloatArray
    total_df: float
    far: np.ndarray

    @property
    def seeds(self) -> int:
        """Number of seeds S."""
        return len(self.by_seed)

    @property
    def cov(self) -> FloatArray:
        """(K + 1, K + 1) covariance of `means` up to what all depths share: right for differences only."""
        return self.example_cov + np.diag(self.seed_variance) / self.seeds

    @property
    def df(self) -> float:
        """Degrees of freedom of `cov` (Satterthwaite): seeds are few, examples count as known."""
        candidates = len(self.means) - 1
        center = np.eye(candidates) - 1 / max(candidates, 1)
        noise = float(np.trace(center @ self.example_cov[:-1, :-1])) / max(candidates - 1, 1)
        return _satterthwaite(noise, float(self.seed_variance.min()) / self.seeds, self.seed_df)

    def margin(self, contrast: FloatArray, confidence: float) -> float:
        """Half the width of the two-sided interval of contrast @ means; contrast: (K + 1,), summing to zero.

        The control is a training of its own, and depths far below the best scatter in their own way: where one takes
        part, the scatter of the contrast over the seeds counts instead, if that is larger.
        """
        variance, df = max(float(contrast @ self.cov @ contrast), 0.0), self.df
        far = bool((contrast[self.far] != 0).any())
        if (contrast[-1] != 0 or far) and self.seeds > 1:
            own, prior = float((self.by_seed @ contrast).var(ddof=1)) / self.seeds, FAR_DF if far else PRIOR_DF
            blended = (prior * variance + (self.seeds - 1) * own) / (prior + self.seeds - 1)
            df = min(df, prior + self.seeds - 1) if far and blended > variance else df
            variance = max(variance, blended)
        return float(stats.t.ppf(0.5 + confidence / 2, df)) * float(np.sqrt(variance))

    def paired_margin(self, contrast: FloatArray, confidence: float) -> float:
        """`margin`, but never less than what the scatter of the contrast over the seeds says on its own (paired t).

        For trainings whose scatter is not known beforehand: the assumed variance is that of well-trained networks.
        Needs two seeds.
        """
        own = (self.by_seed @ contrast).std(ddof=1) / np.sqrt(self.seeds)
        paired = float(stats.t.ppf(0.5 + confidence / 2, self.seeds - 1)) * float(own)
        return max(self.margin(contrast, confidence), paired)

    def interval(self, column: int, confidence: float) -> tuple[float, float]:
        """Two-sided interval (low, high) of one mean, seed and example variance together."""
        seed_part, noise = float(self.total_seed_variance[column]) / self.seeds, float(self.example_cov[column, column])
        df = _satterthwaite(noise, seed_part, FAR_DF + self.seeds - 1 if self.far[column] else self.total_df)
        margin = float(stats.t.ppf(0.5 + confidence / 2, df)) * (seed_part + noise) ** 0.5
        return float(self.means[column]) - margin, float(self.means[column]) + margin


def _satterthwaite(noise: float, seed_part: float, seed_df: float) -> float:
    return seed_df * (1 + max(noise, 0.0) / seed_part) ** 2


def estimate_spread(scores: Sequence[SeedScores], scale: float = 1.0) -> Spread:
    """Estimate means and variances from checked scores. scale: of the metric, 1 where it is a fraction; what is assumed
    before any data is multiplied by it.

    Score of example i, depth d, seed s = mean_d + seed_s + (seed by depth)_sd + example parts. Two seeds on
    one fold share the example-by-depth part, two seeds on different folds do not; the residual of the S x K
    table therefore holds the seed-by-depth variance plus exactly the example noise that is *not* shared.
    That part is computed from the per-example covariances and taken out, then all example noise is added
    once (two-way random effects with crossed or nested examples, Owen 2007, "The pigeonhole bootstrap",
    gives the crossed case).
    """
    stacked = [np.vstack([one.candidates, one.control[None]]).astype(np.float64) for one in scores]
    by_seed = np.stack([one.mean(axis=1) for one in stacked])
    seeds, columns = by_seed.shape
    folds: dict[str, list[FloatArray]] = defaultdict(list)
    for one, table in zip(scores, stacked, strict=True):
        folds[one.examples].append(table)
    own = np.zeros((columns, columns))  # sum over seeds of the example covariance of that seed's means
    total = np.zeros((columns, columns))  # the same of the sum over seeds: adds what seeds of one fold share
    for tables in folds.values():
        each = [_mean_cov(table) for table in tables]
        own += np.sum(each, axis=0)
        total += each[0] if len(tables) == 1 else _mean_cov(np.sum(tables, axis=0))
    unshared = own / seeds - (total - own) / (seeds * max(seeds - 1, 1))
    means = by_seed.mean(axis=0)
    near = means[:-1] >= means[:-1].max() - NEAR * scale - 1e-9  # a tie must not depend on the order of seeds
    if near.sum() < 2:
        near[:] = True
    chosen = _pool(np.ascontiguousarray(by_seed[:, :-1][:, near]), unshared[:-1, :-1][np.ix_(near, near)], scale)
    far = np.append(~near, False)  # the control is a training of its own; `margin` looks at its scatter
    depth_effect = by_seed - by_seed[:, :-1][:, near].mean(axis=1, keepdims=True)
    return Spread(
        means=means,
        by_seed=by_seed,
        example_cov=total / seeds**2,
        seed_variance=np.where(far, _own(depth_effect, chosen.variance), chosen.variance),
        seed_df=chosen.df,
        total_seed_variance=np.where(far, _own(by_seed, chosen.total), chosen.total),
        total_df=PRIOR_DF + seeds - 1,
        far=far,
    )


def _own(table: FloatArray, pooled: float) -> FloatArray:
    """(K + 1,) variances of the columns over the seeds, never below the pooled one; example noise is left in."""
    seeds = len(table)
    own = table.var(axis=0, ddof=1) if seeds > 1 else np.zeros(table.shape[1])
    return np.maximum(pooled, (FAR_DF * pooled + (seeds - 1) * own) / (FAR_DF + seeds - 1))


@dataclass(frozen=True)
class _Pooled:
    """Seed variance of some depths: of one seed-by-depth effect, with df, and with the seed's common effect."""

    variance: float
    df: float
    total: float


def _pool(by_seed: FloatArray, unshared: FloatArray, scale: float) -> _Pooled:
    """by_seed: (S, D) means over examples; unshared: (D, D) example noise that is not shared by two seeds."""
    seeds, depths = by_seed.shape
    center = np.eye(depths) - 1 / depths
    by_depth, main = (seeds - 1) * (depths - 1), seeds - 1
    table = by_seed - by_seed.mean(axis=0)
    between = float((table**2).sum()) / depths - main * float(np.trace(unshared)) / depths
    table = table - table.mean(axis=1, keepdims=True)
    noise = float(np.trace(center @ unshared)) / max(depths - 1, 1)
    residual = float((table**2).sum()) - by_depth * noise
    return _Pooled(
        variance=_blend(scale**2 * SEED_BY_DEPTH_SD**2, residual, by_depth),
        df=PRIOR_DF + by_depth,
        total=_blend(scale**2 * (SEED_BY_DEPTH_SD**2 + SEED_SD**2), between, main),
    )


def _mean_cov(table: FloatArray) -> FloatArray:
    centered = table - table.mean(axis=1, keepdims=True)
    examples = table.shape[1]
    return np.asarray(centered @ centered.T / ((examples - 1) * examples))


def _blend(prior: float, sum_of_squares: float, df: int) -> float:
    return (PRIOR_DF * prior + max(sum_of_squares, 0.0)) / (PRIOR_DF + df)
