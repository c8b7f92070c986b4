"""The deciding rule: per-example scores in, a verdict on depth out (DESIGN section 4)."""

from collections.abc import Sequence

import numpy as np

from depthprobe.analysis.choice import Choice, Chooser
from depthprobe.analysis.decision import Decision, Estimate, Verdict
from depthprobe.analysis.resampling import name_depths, smallest_range
from depthprobe.analysis.scores import FloatArray, SeedScores, check_scores
from depthprobe.analysis.spread import Spread, estimate_spread
from depthprobe.analysis.tolerance import FACTOR
from depthprobe.errors import ConfigError

__all__ = ["Decision", "Estimate", "decide"]


def decide(
    scores: Sequence[SeedScores],
    *,
    depths: Sequence[int],
    current: int,
    tolerance: float,
    confidence: float = 0.95,
    resamples: int = 1000,
    bias: float = 0.0,
    rng_seed: int = 0,
    floor: float | None = None,
    scale: float = 1.0,
    floor_is: str = "always naming the commonest class",
    guard: float | None = None,
    apart: bool = False,
) -> Decision:
    """Decide between deepen, keep, shrink and inconclusive.

    scores: one per seed that finished (failed ones are left out and counted by the caller); depths: K
    ascending candidates; current: one of them; tolerance, bias: fractions of the metric, bias being the
    largest systematic error of the method on a difference of two depths; confidence: of each one-sided
    bound and of the intervals; resamples: 0 leaves `resamples` and `range95` None. The same input gives the
    same output, bit for bit. floor: what a network that learned nothing scores (always naming the commonest
    class); when no candidate is clearly above it, nothing can be said. floor_is: that, in words. scale: of the metric,
    1 for a fraction: what is assumed of seeds before any data (`estimate_spread`) is meant in this unit. guard:
    confidence of the upper bound of a shortfall, two-sided, where it is not `confidence`. apart: the last candidate was
    not trained as the others were, and is no point of their curve (`Chooser`).

    d* is the smallest candidate that is within 0.8 tolerance of the best on the estimated curve and whose
    shortfall has an upper bound within the tolerance. It is `keep` when d* is the current depth, `shrink`
    when it is smaller, and `deepen` when it is larger and the plateau from d* on beats both the current
    depth and the control.

    Raises ConfigError, DataError or TrainingError (no seed left) as `check_scores` does.
    """
    depths = tuple(int(depth) for depth in depths)
    _check_settings(tolerance, bias, resamples, confidence)
    check_scores(scores, depths, current)
    spread, here = estimate_spread(scores, scale), depths.index(current)
    cov, far = spread.cov[:-1, :-1], spread.far[:-1]
    guard = confidence if guard is None else guard
    chooser = Chooser(depths, cov, spread.df, tolerance=tolerance, bias=bias, confidence=guard, far=far, apart=apart)
    choice = chooser.choose(spread.means[None, :-1])
    chosen, guess, fitted = int(choice.chosen[0]), int(choice.guess[0]), bool(choice.fitted[0])
    plateau = _plateau(choice, chosen if chosen >= 0 else guess, here, tolerance)
    gain, over_control = (_gain(spread, plateau, against, confidence, bias) for against in (here, -1))
    *estimates, control = (_estimate(spread, column, confidence, bias) for column in range(len(depths) + 1))
    verdict, reasons = _judge(depths, chosen, here, gain, over_control, tolerance, bias, scale)
    if floor is not None and all(estimate.low <= floor for estimate in (*estimates, control)):
        verdict, reasons = "inconclusive", (f"nothing was learned: {floor_is} gives {floor:.3f}",)
    if spread.seeds == 1:
        reasons += ("one seed only: how much seeds differ was assumed, not measured",)
    index = {"keep": here, "inconclusive": None}.get(verdict, chosen)
    advised = depths[guess if index is None else index]
    curve = choice.curve[0]
    shares = (
        name_depths(chooser, depths, curve, cov, spread.df, fitted=fitted, resamples=resamples, rng_seed=rng_seed)
        if resamples
        else None
    )
    return Decision(
        verdict=verdict,
        recommended=None if index is None else depths[index],
        best_guess=advised,
        current=current,
        depths=depths,
        candidates=tuple(estimates),
        control=control,
        fitted=tuple(curve.tolist()) if fitted else None,
        tolerance=tolerance,
        confidence=confidence,
        resolution=_resolution(cov[np.ix_(~far, ~far)]),
        gain=gain,
        gain_over_control=over_control,
        resamples=shares,
        range95=None if shares is None else smallest_range(shares, advised=advised),
        reasons=reasons,
    )


def _check_settings(tolerance: float, bias: float, resamples: int, confidence: float) -> None:
    if tolerance <= 0 or bias < 0 or resamples < 0 or not 0.5 < confidence < 1:
        found = f"tolerance {tolerance}, bias {bias}, resamples {resamples}, confidence {confidence}"
        expected = "tolerance > 0, bias >= 0, resamples >= 0, 0.5 < confidence < 1"
        raise ConfigError("a setting of the deciding rule is out of range", expected=expected, found=found)


def _judge(
    depths: tuple[int, ...],
    chosen: int,
    here: int,
    gain: Estimate,
    over_control: Estimate,
    tolerance: float,
    bias: float,
    scale: float = 1.0,
) -> tuple[Verdict, tuple[str, ...]]:
    if len(depths) == 1:
        return "inconclusive", ("only one depth was measured",)
    if bias >= tolerance:
        return "inconclusive", ("the method's own bias is as large as the tolerance",)
    if chosen < 0:
        return "inconclusive", ("no depth is within the tolerance of the best with the confidence asked for",)
    if chosen == here:
        return "keep", ("no measured depth beats the current one by the tolerance",)
    if chosen < here:
        return "shrink", ("a smaller depth is within the tolerance of the best",)
    if gain.low <= 0:
        if gain.value <= 0:
            most = f"{gain.high:.3f}" if scale == 1.0 else f"{gain.high:.3g}"
            return "inconclusive", (f"deeper measured no better, but a gain of {most} cannot be excluded",)
        return "inconclusive", ("deeper measured better, but the gain is not separated from zero",)
    if over_control.low > 0:
        return "deepen", ()
    if over_control.high <= tolerance:
        return "keep", ("training longer at the current depth (the control) explains the gain",)
    return "inconclusive", ("the gain over the control is not separated from zero",)


def _plateau(choice: Choice, start: int, here: int, tolerance: float) -> np.ndarray:
    """Find d* and the deeper candidates within the tolerance of the best, d* left out when it is `here`."""
    curve = choice.curve[0]
    first = start + 1 if start == here else start
    return first + np.flatnonzero(curve.max() - curve[first:] <= tolerance)


def _gain(spread: Spread, plateau: np.ndarray, against: int, confidence: float, bias: float) -> Estimate:
    contrast = np.zeros_like(spread.means)
    if len(plateau) == 0:
        return Estimate(value=0.0, low=0.0, high=0.0)
    contrast[plateau] = 1 / len(plateau)
    contrast[against] -= 1
    value, margin = float(contrast @ spread.means), spread.margin(contrast, confidence) + bias
    return Estimate(value=value, low=value - margin, high=value + margin)


def _estimate(spread: Spread, column: int, confidence: float, bias: float) -> Estimate:
    low, high = spread.interval(column, confidence)
    return Estimate(value=float(spread.means[column]), low=low - bias, high=high + bias)


def _resolution(cov: FloatArray) -> float:
    """Median over neighbouring candidates of the resolvable step; with one candidate, that of two like it.

    cov: (K, K) of the candidates near the best: the others are not what one has to choose among.
    """
    variance = np.diag(cov)
    steps = variance[1:] + variance[:-1] - 2 * np.diag(cov, 1) if len(cov) > 1 else 2 * variance
    return FACTOR * float(np.sqrt(max(float(np.median(steps)), 0.0)))
