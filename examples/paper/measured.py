"""What the lines of an arm say together: how many converged, the mean error and its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

CONFIDENCE = 0.95
SETTLED = 0.9  # share of the final accuracy from which an arm counts as settled

Line = dict[str, Any]


@dataclass(frozen=True)
class Interval:
    """Mean with a two-sided 95 % t-interval over the seeds; without one for a single seed."""

    mean: float
    low: float | None
    high: float | None


def interval(values: Sequence[float]) -> Interval:
    """Of at least one value."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def error_of(line: Line) -> float:
    """Test error; a training that broke off knows nothing: that of guessing one class."""
    return 1.0 - 1.0 / line["classes"] if line["test_error"] is None else float(line["test_error"])


def settled_at(line: Line, accuracy: float) -> float:
    """First step from which the validation accuracy stays at `accuracy`, which its last point has."""
    below = [step for step, _, valid in line["curve"] if valid < accuracy]
    return float(min(step for step, _, _ in line["curve"] if not below or step > below[-1]))


def sooner_by(this: Line, that: Line) -> float | None:
    """Steps by which `this` settles before `that`, at 0.9 of the lower of their final accuracies; None where one of
    them never left chance.
    """
    if not (this["converged"] and that["converged"]):
        return None
    accuracy = SETTLED * min(this["curve"][-1][2], that["curve"][-1][2])
    return settled_at(that, accuracy) - settled_at(this, accuracy)


def threshold(line: Line, margin: float = 0.01) -> float | None:
    """Of a sweep: the smallest setting from which on the validation accuracy is within `margin` of its best; None where
    there is none, or nothing was learned.
    """
    best = max((valid for _, _, valid in line["curve"]), default=0.0)
    if best < 2.0 / line["classes"]:
        return None
    ordered = sorted((at, valid) for _, at, valid in line["curve"])
    below = [at for at, valid in ordered if valid < best - margin]
    return min((at for at, _ in ordered if not below or at > max(below)), default=None)


def say_plateau(lines: Sequence[Line]) -> str:
    """Where a sweep of several seeds leaves its plateau, on average."""
    edges = [edge for line in lines if (edge := threshold(line)) is not None]
    return f"plateau from a share of {interval(edges).mean:.2f}" if edges else "no plateau on the curve"


def find(lines: Sequence[Line], name: str) -> list[Line]:
    """The lines of the arm `row/arm`."""
    row, _, arm = name.partition("/")
    return [line for line in lines if (line["row"], line["arm"]) == (row, arm)]
