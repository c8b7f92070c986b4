"""Whether the answer holds: at other learning rates, place by place, and trained from scratch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from depthprobe.reports.measured import Estimate
from depthprobe.reports.reading import Run


@dataclass(frozen=True, kw_only=True)
class RateAnswer:
    """The answer at another learning rate. lr: None for the user's own optimizer; values: (depth, metric) of the
    candidates, none where every seed failed.
    """

    factor: float
    lr: float | None
    failed: int
    seeds: int
    verdict: str
    best_guess: int | None
    values: tuple[tuple[int, float], ...]

    @property
    def name(self) -> str:
        """The factor in words."""
        return "a third of the rate" if self.factor < 1 else "three times the rate"


@dataclass(frozen=True, kw_only=True)
class PlaceGain:
    """What the copies of one stage or site are worth alone. gain: over the network without copies; pays: "yes", "no"
    or "unclear".
    """

    place: str
    copies: int
    score: Estimate
    gain: Estimate
    pays: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Both architectures trained from scratch. held: "yes", "no", "unclear", or None where nothing was promised."""

    advised: Estimate
    current: Estimate
    difference: Estimate
    held: str | None
    seeds: int
    steps: int
    lr: float | None


@dataclass(frozen=True, kw_only=True)
class RateTest:
    """The range test. sweeps: rates and smoothed losses of each; chosen: None for the user's own optimizer."""

    sweeps: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    chosen: float | None
    note: str


def view_rates(run: Run) -> tuple[RateAnswer, ...]:
    """Answers at other rates, the smaller first; none without `--sensitivity`."""
    depths = [int(row["depth"]) for row in run.recommendation["depth"]["candidates"]]
    return tuple(
        RateAnswer(
            factor=float(row["factor"]),
            lr=None if row["lr"] is None else float(row["lr"]),
            failed=len(row["failed_seeds"]),
            seeds=len(row["seeds"]),
            verdict=str(row["verdict"]),
            best_guess=None if row["best_guess"] is None else int(row["best_guess"]),
            values=tuple(zip(depths, map(float, row.get("values") or ()), strict=False)),
        )
        for row in run.recommendation.get("sensitivity") or ()
    )


def view_places(run: Run) -> tuple[PlaceGain, ...]:
    """Stages or sites in order of the data flow; none without `--by`."""
    return tuple(
        PlaceGain(
            place=str(row["place"]),
            copies=int(row["copies"]),
            score=estimate(row),
            gain=estimate(row["gain"]),
            pays=str(row["pays"]),
        )
        for row in run.recommendation.get("places") or ()
    )


def view_verified(run: Run) -> Verified | None:
    """What came of `--verify`; None without it."""
    found = run.recommendation.get("verified")
    if not found:
        return None
    return Verified(
        advised=estimate(found["recommended"]),
        current=estimate(found["current"]),
        difference=estimate(found["difference"]),
        held=found["held"],
        seeds=len(found["seeds"]),
        steps=int(found["steps"]),
        lr=None if found["lr"] is None else float(found["lr"]),
    )


def view_rate_test(run: Run) -> RateTest | None:
    """The curves from which the learning rate was chosen; None where there was no range test."""
    sweeps = run.config.get("lr_range_test") or ()
    if not sweeps:
        return None
    chosen = run.config["train"].get("lr")
    return RateTest(
        sweeps=tuple((tuple(map(float, s["rates"])), tuple(map(float, s["losses"]))) for s in sweeps),
        chosen=None if chosen is None else float(chosen),
        note=str(run.config.get("lr_note") or ""),
    )


def estimate(document: Mapping[str, Any]) -> Estimate:
    """Read value, low and high."""
    return Estimate(value=float(document["value"]), low=float(document["low"]), high=float(document["high"]))
