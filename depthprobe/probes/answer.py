"""From records to an answer: which seeds failed, the scores of the rest, the decision, the recommendation."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from depthprobe.analysis.decision import Decision, Estimate
from depthprobe.analysis.scores import SeedScores
from depthprobe.counting import number_of

RECOMMENDATION_SCHEMA = 1
COLLAPSE_MARGIN = 0.1


@dataclass(frozen=True)
class Failure:
    """Why a seed does not count. arm: "grow" or "control"; what: in words, with the place."""

    seed: int
    arm: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Recommendation(Mapping[str, Any]):
    """The answer. Fields as in recommendation.json (`to_json`), also reachable as `recommendation["verdict"]`.

    fraction: whether the metric is a share of the examples, whose differences are said in points (hundredths).
    ranking: what a trained network loses without each unit alone.
    """

    command: str
    verdict: str
    sentence: str
    metric: str
    tolerance: float
    confidence: float
    resolution: float
    seeds: list[int]
    failed_seeds: list[int]
    depth: dict[str, Any]
    width: dict[str, Any]
    add: list[dict[str, Any]]
    remove: list[str]
    control: dict[str, float]
    verified: dict[str, Any] | None
    cost: dict[str, Any]
    gain: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] | None = None
    sensitivity: list[dict[str, Any]] = field(default_factory=list)
    places: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fraction: bool = True
    ranking: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The recommendation object: plain values."""
        return {"schema": RECOMMENDATION_SCHEMA, **self.__dict__}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Recommendation":
        """What `to_json` gave."""
        return cls(**{key: value for key, value in document.items() if key != "schema"})

    def __getitem__(self, key: str) -> Any:
        return self.to_json()[key]

    def __iter__(self) -> Any:
        return iter(self.to_json())

    def __len__(self) -> int:
        return len(self.to_json())


def unpack_scores(record: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scores of a measurement record: (N,) of 0.0 and 1.0 from bits, or (M,) from float32."""
    if "scores32" in record:
        return np.frombuffer(base64.b64decode(record["scores32"]), "<f4").astype(np.float64)
    bits = np.frombuffer(bytes.fromhex(record["scores"]), np.uint8)
    return np.unpackbits(bits, count=record["examples"]).astype(np.float64)


def find_collapse(
    records: Sequence[Mapping[str, Any]], seed: int, chance: float | None, metric: str = "accuracy"
) -> Failure | None:
    """A grow arm that lost more than half of what the base network had learned, at some cooled measurement.

    chance: what a network scores that learned nothing (accuracy: of always naming the commonest class); None where
    that is not known, and nothing is found then.
    """
    if chance is None:
        return None
    mine = [r for r in records if r["kind"] == "measurement" and r["seed"] == seed and r["walk"] in ("up", "down")]
    if not mine:
        return None
    learned = mine[0]["value"] - chance
    for record in mine[1:]:
        if learned > COLLAPSE_MARGIN and record["value"] - chance < learned / 2:
            return Failure(
                seed, "grow", f"collapsed at {number_of(record['depth'], 'layer')} on the way {record['walk']} "
                f"({metric} {record['value']:.3f}, base {mine[0]['value']:.3f})",
            )  # fmt: skip
    return None


def read_failures(records: Sequence[Mapping[str, Any]]) -> list[Failure]:
    """Failures in the order in which they happened."""
    return [Failure(r["seed"], r["arm"], r["what"]) for r in records if r["kind"] == "failure"]


def read_scores(records: Sequence[Mapping[str, Any]], opened: Sequence[int], seeds: Sequence[int]) -> list[SeedScores]:
    """Scores of the seeds that did not fail: cooled walk down and control, per validation example."""
    failed = {failure.seed for failure in read_failures(records)}
    scores = []
    for seed in seeds:
        if seed in failed:
            continue
        mine = [r for r in records if r["kind"] == "measurement" and r["seed"] == seed]
        down = {r["opened"]: r for r in mine if r["walk"] == "down"}
        control = next(r for r in mine if r["walk"] == "control")
        scores.append(
            SeedScores(
                seed=seed,
                candidates=np.stack([unpack_scores(down[count]) for count in opened]),
                control=unpack_scores(control),
                examples=control["valid_id"],
            )
        )
    return scores


def as_json(estimate: Estimate) -> dict[str, float]:
    """An estimate as plain values."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def within(estimate: Estimate, bounds: tuple[float | None, float | None] = (0.0, 1.0)) -> dict[str, float]:
    """An estimate whose interval ends where the metric does; bounds: least and largest value, None for no end."""
    least, most = bounds
    low = estimate.low if least is None else max(least, estimate.low)
    return {"value": estimate.value, "low": low, "high": estimate.high if most is None else min(most, estimate.high)}


def depth_json(
    decision: Decision,
    candidates: Sequence[Mapping[str, Any]],
    latency: Mapping[str, Any],
    bounds: tuple[float | None, float | None] = (0.0, 1.0),
) -> dict[str, Any]:
    """The `depth` part of a recommendation. candidates: params, macs and latency_ms of each depth; latency: the batch,
    device and threads it was measured with; bounds: of the metric.
    """
    rows = [
        {"depth": depth, **within(estimate, bounds), **costs}
        for depth, estimate, costs in zip(decision.depths, decision.candidates, candidates, strict=True)
    ]
    return {
        "current": decision.current,
        "recommended": decision.recommended,
        "best_guess": decision.best_guess,
        "range95": list(decision.range95) if decision.range95 else None,
        "resamples": {str(depth): share for depth, share in (decision.resamples or {}).items()},
        "fitted": list(decision.fitted) if decision.fitted else None,
        "candidates": rows,
        "latency": dict(latency),
    }
