"""What the deciding rule returns."""

from dataclasses import dataclass, replace
from typing import Literal

Verdict = Literal["deepen", "keep", "shrink", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its interval, in units of the metric."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict on depth, and everything needed to say how sure it is, in units of the metric (fractions).

    recommended: a candidate depth, None when inconclusive. best_guess: the depth one would pick without asking
        for confidence; the recommended one unless inconclusive.
    depths: K candidates, ascending; current is one of them.
    candidates, control: means over seeds, two-sided intervals (seed and example variance together; what all
        depths share cancels in comparisons, so depths with overlapping intervals may clearly differ).
    fitted: (K,) the smoothed curve A - B r^depth where lack of fit was not shown, else None.
    resolution: the smallest difference of two candidates that these data resolve, as measured.
    gain: mean of the plateau (d* and the deeper candidates within the tolerance of the best) minus the current
        depth; gain_over_control: the same minus the control. Both two-sided at `confidence`, widened by the
        bias; `deepen` needs both lows above zero. When d* is the current depth the plateau is what is deeper;
        with nothing there the gain is 0.
    resamples: share of resamples that name each depth (as best guess).
    range95: shortest range of depths with 95 % of the resamples and the advised depth (or best guess) in it.
    reasons: short facts in plain English.
    """

    verdict: Verdict
    recommended: int | None
    best_guess: int
    current: int
    depths: tuple[int, ...]
    candidates: tuple[Estimate, ...]
    control: Estimate
    fitted: tuple[float, ...] | None
    tolerance: float
    confidence: float
    resolution: float
    gain: Estimate
    gain_over_control: Estimate
    resamples: dict[int, float] | None
    range95: tuple[int, int] | None
    reasons: tuple[str, ...]

    def having_dropped(self, depth: int) -> "Decision":
        """The same for a network of `depth` layers from which idle ones were taken out before: it computed the same as
        the current one here, and every answer takes at least those out.
        """
        here = self.candidates[self.depths.index(self.current)]
        smaller = self.recommended is not None and self.recommended < self.current
        return replace(
            self,
            verdict="shrink",
            recommended=self.recommended if smaller else self.current,
            best_guess=self.best_guess if smaller else self.current,
            current=depth,
            depths=(*self.depths, depth),
            candidates=(*self.candidates, here),
            fitted=None if self.fitted is None else (*self.fitted, self.fitted[-1]),
        )

    @property
    def explained_by_control(self) -> bool:
        """Deeper beats the current depth, but not the control: training longer at this depth explains it."""
        return self.gain.low > 0 and self.gain_over_control.low <= 0
