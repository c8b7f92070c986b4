"""The smoothed curve A - B r^depth: generalised least squares, many measured curves at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from depthprobe.analysis.scores import FloatArray

_DECAYS = 32


@dataclass(frozen=True, kw_only=True)
class SaturatingFit:
    """Fits of R measured curves.

    values: (R, K) best fitting A - B r^depth, B >= 0. p_value: (R,) of the lack-of-fit test. rise, rise_sd,
    weight: (R, L) for each of L decay lengths the estimated rise from the first to the last candidate, its
    standard error, and the posterior weight of that length (flat priors on A, on a rise >= 0 and on log
    length).
    """

    values: FloatArray
    p_value: FloatArray
    rise: FloatArray
    rise_sd: FloatArray
    weight: FloatArray


class SaturatingFamily:
    """All curves A - B r^depth over fixed depths, measured with a fixed covariance."""

    def __init__(self, depths: Sequence[int], cov: FloatArray, df: float) -> None:
        """depths: K >= 4, ascending; cov: (K, K) positive definite, with df degrees of freedom."""
        distance = np.asarray(depths, dtype=np.float64) - depths[0]
        # Depth over which the missing part falls to 1/e: from "done in one step" to almost a straight line.
        lengths = np.geomspace(float(np.diff(distance).min()) / 4, 2.5 * distance[-1], _DECAYS)
        decay = np.exp(-distance / lengths[:, None])
        self.missing = (decay - decay[:, -1:]) / (1 - decay[:, -1:])  # (L, K): share of the rise still missing, 1 to 0
        self._root, self._df = np.linalg.cholesky(cov), df
        self._one = np.linalg.solve(self._root, np.ones(len(distance)))
        self._shape = -np.linalg.solve(self._root, self.missing.T).T  # (L, K), whitened
        # Student t with df degrees of freedom, by widening the normal at its 95 % quantile.
        self._widen = float(stats.t.ppf(0.95, df) / stats.norm.ppf(0.95))

    def fit(self, curves: FloatArray) -> SaturatingFit:
        """curves: (R, K) measured accuracies."""
        white = np.linalg.solve(self._root, curves.T).T  # (R, K)
        one, shape = self._one, self._shape
        aa, ab, bb = one @ one, shape @ one, (shape**2).sum(axis=1)
        det = aa * bb - ab**2
        along_one, along_shape = white @ one, white @ shape.T  # (R,), (R, L)
        rise = (aa * along_shape - ab * along_one[:, None]) / det
        top = (bb * along_one[:, None] - ab * along_shape) / det
        flat = along_one / aa
        flat_misfit = ((white - flat[:, None] * one) ** 2).sum(axis=1)
        gained = rise**2 * det / aa  # what the rise explains beyond the flat curve
        misfit = flat_misfit[:, None] - gained
        best = np.where(rise > 0, misfit, np.inf).argmin(axis=1)
        rows = np.arange(len(curves))
        rises = rise[rows, best] > 0
        values = top[rows, best][:, None] - rise[rows, best][:, None] * self.missing[best]
        values = np.where(rises[:, None], values, flat[:, None])
        least = np.where(rises, misfit[rows, best], flat_misfit)
        spare = curves.shape[1] - 3
        rise_sd = np.broadcast_to(np.sqrt(aa / det) * self._widen, rise.shape)
        log_weight = stats.norm.logcdf(rise / rise_sd) - misfit / (2 * self._widen**2) - np.log(det) / 2
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        return SaturatingFit(
            values=values,
            p_value=np.asarray(stats.f.sf(np.maximum(least, 0.0) / spare, spare, self._df)),
            rise=rise,
            rise_sd=rise_sd,
            weight=weight / weight.sum(axis=1, keepdims=True),
        )

    def exceeds(self, fit: SaturatingFit, tolerance: float) -> FloatArray:
        """(R, K): posterior probability that a candidate lies more than `tolerance` below the last one.

        For a given decay length that is the tail of a normal rise cut off at zero; lengths are averaged by
        weight.
        """
        limit = tolerance / np.maximum(self.missing, 1e-12)  # (L, K)
        tail = stats.norm.logsf((limit - fit.rise[:, :, None]) / fit.rise_sd[:, :, None])
        tail = np.exp(tail - stats.norm.logcdf(fit.rise / fit.rise_sd)[:, :, None])
        return np.asarray(np.einsum("rl,rlk->rk", fit.weight, tail))
