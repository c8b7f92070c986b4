"""Whether an answer held when the advised and the present architecture were trained from scratch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from depthprobe.analysis.decision import Estimate
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.spread import estimate_spread
from depthprobe.analysis.units import Units


def compare_verified(
    scores: Sequence[SeedScores],
    *,
    larger: bool,
    tolerance: float,
    confidence: float,
    scale: float = 1.0,
    limits: Mapping[str, float] | None = None,
    floor: float | None = None,
) -> dict[str, Any]:
    """The `verified` part of a recommendation.

    scores: per seed, candidates (2, N): the present and the advised network. larger: the advised one is the larger: it
    has to be better; else it must not be worse by the tolerance. limits: of a budget: with keep_accuracy the advised
    network has to keep that; where only costs are limited, nothing was promised but them. floor: what a network
    scores that learned nothing: one that is not above it confirms nothing, however bad the other is. held is "yes",
    "no", "unclear" at `confidence`, or None.
    """
    spread = estimate_spread(scores, scale)
    current, advised = (spread.interval(column, confidence) for column in (0, 1))
    contrast = np.array([-1.0, 1.0, 0.0])
    value, margin = float(contrast @ spread.means), spread.margin(contrast, confidence)
    keep = (limits or {}).get("keep_accuracy")
    low, high, bar = value - margin, value + margin, 0.0 if larger else -tolerance
    if keep is not None:
        low, high, bar = *advised, keep
    held = "yes" if low > bar else "no" if high < bar else "unclear"
    if held == "yes" and floor is not None and advised[0] <= floor:
        held = "unclear"
    return {
        "recommended": _row(float(spread.means[1]), advised),
        "current": _row(float(spread.means[0]), current),
        "difference": {"value": value, "low": value - margin, "high": value + margin},
        "held": held if keep is not None or not limits else None,
        "seeds": [one.seed for one in scores],
    }


def _row(value: float, ends: tuple[float, float]) -> dict[str, float]:
    return {"value": value, "low": ends[0], "high": ends[1]}


def say_verified(verified: dict[str, Any], units: Units) -> str:
    """What the sentence ends with."""
    advised, current = (units.value(verified[name]["value"]) for name in ("recommended", "current"))
    gap = Estimate(**verified["difference"])
    low, high = units.signed(gap.low, unit=False), units.signed(gap.high)
    words = {"yes": ": the advice holds", "no": ": the advice does NOT hold", "unclear": ", which does not settle it"}
    return (
        f"verified from scratch: {advised} against {current}, {units.signed(gap.value, unit=False)} ({low} to {high})"
        f"{words.get(verified['held'], '')}"
    )
