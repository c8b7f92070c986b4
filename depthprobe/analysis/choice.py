"""The choice: the smallest candidate depth that is, beyond doubt, within the tolerance of the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from depthprobe.analysis.curve import SaturatingFamily
from depthprobe.analysis.scores import FloatArray

# d* must be within this share of the tolerance on the estimated curve (DESIGN section 4 b).
POINT_SHARE = 0.8
# Candidates this close to the best (in tolerances) are the plateau that a raw curve is compared with: one
# noisy maximum would make every depth look worse than it is.
PLATEAU_SHARE = 0.5
# Level of the lack-of-fit test. Found by simulation, together with the two shares (benchmarks/rule.py).
LACK_OF_FIT_LEVEL = 0.1


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Choices on R curves.

    curve: (R, K) the estimated curve: fitted where the fit is not rejected, else as measured. fitted: (R,)
    bool, where it is the fitted one. guess: (R,) index of the smallest candidate within 0.8 tolerance of
    the best on that curve. chosen: (R,) index of the smallest of those whose shortfall also has its upper
    bound (the end of the two-sided interval) within the tolerance; -1 where there is none.
    """

    curve: FloatArray
    fitted: np.ndarray
    guess: np.ndarray
    chosen: np.ndarray


class Chooser:
    """Chooses a depth on measured curves over fixed depths, for a fixed covariance and tolerance."""

    def __init__(
        self,
        depths: Sequence[int],
        cov: FloatArray,
        df: float,
        *,
        tolerance: float,
        bias: float,
        confidence: float,
        far: np.ndarray | None = None,
        apart: bool = False,
    ) -> None:
        """cov: (K, K) positive definite, with df degrees of freedom; bias: taken off the tolerance. far: (K,) bool,
        depths far below the best, which neither shape the smoothed curve nor are chosen. apart: the last candidate was
        not trained as the others were and is no point of their curve. It counts as measured: the others have to be
        within 0.8 of the tolerance of it as estimated, and within the tolerance as measured. A bound on that would
        keep what could go (benchmarks/width_rule.py).
        """
        self._cov, self._tolerance, self._limit = cov, tolerance, tolerance - bias
        self._risk = (1 - confidence) / 2
        self._quantile = float(stats.t.ppf(1 - self._risk, df))
        near = np.ones(len(depths), dtype=bool) if far is None else ~far
        self._apart = apart
        if apart:
            near[-1] = False
        self._near = np.flatnonzero(near)
        # Three free parameters: with three candidates nothing is left to test the fit with.
        kept, among = [depths[rank] for rank in self._near.tolist()], np.ix_(self._near, self._near)
        self._family = SaturatingFamily(kept, cov[among], df) if len(kept) > 3 else None

    def choose(self, curves: FloatArray, *, fitted: bool | None = None) -> Choice:
        """curves: (R, K) measured. fitted: smooth or not, whatever the lack-of-fit test says (resampling)."""
        curve, smooth = curves, np.zeros(len(curves), dtype=bool)
        proven = self._bound_raw(curves)
        if self._family is not None and fitted is not False:
            fit = self._family.fit(curves[:, self._near])
            smooth = fit.p_value > LACK_OF_FIT_LEVEL if fitted is None else ~smooth
            values, unlikely = curves.copy(), np.zeros(curves.shape, dtype=bool)
            values[:, self._near] = fit.values
            if self._limit > 0:
                unlikely[:, self._near] = self._family.exceeds(fit, self._limit) <= self._risk
            curve = np.where(smooth[:, None], values, curves)
            proven = np.where(smooth[:, None], unlikely, proven)
        near = curve.max(axis=1, keepdims=True) - curve <= POINT_SHARE * self._tolerance
        if self._apart:
            proven &= curves[:, -1:] - curves <= self._limit
        proven[:, -1] = True  # nothing deeper was measured
        proven &= near
        chosen = np.where(proven.any(axis=1), proven.argmax(axis=1), -1)
        return Choice(curve=curve, fitted=smooth, guess=near.argmax(axis=1), chosen=chosen)

    def _bound_raw(self, curves: FloatArray) -> np.ndarray:
        """(R, K) bool: the deeper plateau is, on average, ahead by less than the tolerance."""
        count = curves.shape[1]
        best = curves[:, : max(1, count - self._apart)].max(axis=1, keepdims=True)
        plateau = best - curves <= PLATEAU_SHARE * self._tolerance
        if self._apart:
            plateau[:, -1] = False
        proven = np.ones(curves.shape, dtype=bool)
        for index in range(count - 1):
            window = np.where(np.arange(count) > index, plateau, False)
            size = window.sum(axis=1)
            contrast = window / np.maximum(size, 1)[:, None]
            contrast[:, index] -= 1
            ahead = (contrast * curves).sum(axis=1)
            variance = np.einsum("rk,kj,rj->r", contrast, self._cov, contrast)
            bound = ahead + self._quantile * np.sqrt(np.maximum(variance, 0.0))
            proven[:, index] = (size == 0) | (bound <= self._limit)
        return proven
