"""Where depth pays: one place's copies alone against the network without any, and against the control."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from depthprobe.analysis.decision import Estimate
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.spread import Spread, estimate_spread

Pays = Literal["yes", "no", "unclear"]


@dataclass(frozen=True, kw_only=True)
class PlaceValue:
    """What copies at one place alone are worth, in units of the metric.

    estimate: the network with this place's copies only. gain: over the network without copies; gain_over_control: over
    the control; both at the confidence asked for, shared by all places. pays: "no" when one of the two gains has its
    upper bound within the tolerance, else "yes" when both have bounds above zero, else "unclear".
    """

    estimate: Estimate
    gain: Estimate
    gain_over_control: Estimate
    pays: Pays


def value_places(
    scores: Sequence[SeedScores], *, tolerance: float, confidence: float = 0.95, bias: float = 0.0, scale: float = 1.0
) -> tuple[PlaceValue, ...]:
    """Value every place. scores: per seed, candidates (1 + P, N): the network without copies, then each place alone.

    The risk 1 - confidence is shared by the places (Bonferroni), so that one lucky place among many is not believed.
    """
    spread = estimate_spread(scores, scale=scale)
    places = len(spread.means) - 2
    shared = 1.0 - (1.0 - confidence) / max(1, places)
    return tuple(_value(spread, 1 + rank, tolerance, shared, bias) for rank in range(places))


def _value(spread: Spread, column: int, tolerance: float, confidence: float, bias: float) -> PlaceValue:
    low, high = spread.interval(column, confidence)
    gain, over = (_difference(spread, column, against, confidence, bias) for against in (0, -1))
    pays: Pays = "unclear"
    if min(gain.high, over.high) <= tolerance:
        pays = "no"
    elif gain.low > 0 and over.low > 0:
        pays = "yes"
    return PlaceValue(
        estimate=Estimate(value=float(spread.means[column]), low=low, high=high),
        gain=gain,
        gain_over_control=over,
        pays=pays,
    )


def _difference(spread: Spread, column: int, against: int, confidence: float, bias: float) -> Estimate:
    contrast = np.zeros_like(spread.means)
    contrast[column] += 1.0
    contrast[against] -= 1.0
    value, margin = float(contrast @ spread.means), spread.margin(contrast, confidence) + bias
    return Estimate(value=value, low=value - margin, high=value + margin)
