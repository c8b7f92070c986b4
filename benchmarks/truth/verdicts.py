"""The judgement of one case: what the probe said, what the sweep says of it, bias, bills, and the peers."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from depthprobe.analysis.decision import Decision
from truth.cases import DEPTHS, SEEDS, Case
from truth.peers import PEERS, Sweep
from truth.readings import Truth, best_recipe, has_failed, read_truth
from truth.sweep import Store

READINGS = ("trainable", "grown")


@dataclass(frozen=True)
class Verdict:
    """A depth that some method named, its bill as a share of the sweep's, and what each reading of truth says of it."""

    depth: float
    cost: float
    regret: dict[str, float]
    hit: dict[str, bool]


@dataclass(frozen=True)
class Judgement:
    """Everything about one case. bias: (walk, reading) -> (tilt, low, high): how much more the probe's curve rises from
    the shallower to the deeper half than the reading does; answer: the rule's decision on the probe's records; curves:
    the probe's means per depth on its way up and down, on validation data; rate: the learning rate of everything.
    """

    case: Case
    rate: float
    answer: Decision
    truths: dict[str, Truth]
    probe: Verdict
    peers: dict[str, Verdict]
    bias: dict[tuple[str, str], tuple[float, float, float]] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)


def judge_case(case: Case, store: Store, answer, measured, work: float, sizes) -> Judgement:
    """measured: the probe's measurement records; work: its multiply-accumulates; sizes: (validation, test) examples."""
    tolerance = answer.tolerance
    truths = {reading: read_truth(case, store, reading, tolerance, sizes) for reading in READINGS}
    sweep = Sweep(store)
    depth = answer.best_guess - 1  # the head is a layer too
    peers = {}
    for name, method in PEERS.items():
        runs = (
            [method(sweep, tolerance, seed) for seed in range(20)] if name == "optuna" else [method(sweep, tolerance)]
        )
        verdicts = [look(found, cost / sweep.cost, truths, tolerance) for found, cost in runs]
        peers[name] = mean_verdict(verdicts)
    bias = {(walk, reading): tilt(store, measured, walk, reading) for walk in ("down", "up") for reading in READINGS}
    probe = look(depth, work / sweep.cost, truths, tolerance)
    curves = {walk: mean_curve(measured, walk) for walk in ("up", "down")}
    return Judgement(
        case=case,
        rate=store.best_rate(),
        answer=answer,
        truths=truths,
        probe=probe,
        peers=peers,
        bias=bias,
        curves=curves,
    )


def mean_curve(measured, walk: str) -> list[float]:
    """Mean over seeds per depth; nan where nothing was measured."""
    rows = [[m["value"] for m in measured if (m["walk"], m["depth"]) == (walk, depth + 1)] for depth in DEPTHS]
    return [float(np.mean(row)) if row else float("nan") for row in rows]


def look(depth: int, cost: float, truths: dict[str, Truth], tolerance: float) -> Verdict:
    """A hit: regret within the tolerance, and no shallower depth that clears the rule."""
    regret = {name: truth.regret(depth) for name, truth in truths.items()}
    hit = {
        name: regret[name] <= tolerance and not (truth.clears is not None and truth.clears < depth)
        for name, truth in truths.items()
    }
    return Verdict(depth=depth, cost=cost, regret=regret, hit=hit)


def mean_verdict(verdicts: list[Verdict]) -> Verdict:
    """Mean over repetitions of a method that draws lots; a hit where most are."""
    readings = verdicts[0].regret
    return Verdict(
        depth=float(np.median([v.depth for v in verdicts])),
        cost=float(np.mean([v.cost for v in verdicts])),
        regret={name: float(np.mean([v.regret[name] for v in verdicts])) for name in readings},
        hit={name: bool(np.mean([v.hit[name] for v in verdicts]) > 0.5) for name in readings},
    )


def tilt(store: Store, measured, walk: str, reading: str) -> tuple[float, float, float]:
    """Bias on a difference of depths, on the same validation examples, seed by seed: (mean, low, high).

    The mean over depths 5-8 minus the mean over depths 2-4 of (cooled walk - truth); depth 1 is left out.
    """
    rows = []
    for seed in SEEDS:
        per_depth = {}
        for depth in DEPTHS:
            _, three = best_recipe(store, depth, reading)
            row = three[SEEDS.index(seed)]
            mine = [m["value"] for m in measured if (m["walk"], m["depth"], m["seed"]) == (walk, depth + 1, seed)]
            if mine and not has_failed(row, store):
                per_depth[depth] = mine[0] - row["valid"]
        deep = [v for depth, v in per_depth.items() if depth >= 5]
        shallow = [v for depth, v in per_depth.items() if 2 <= depth <= 4]
        if deep and shallow:
            rows.append(float(np.mean(deep) - np.mean(shallow)))
    mean = float(np.mean(rows)) if rows else float("nan")
    if len(rows) < 2:
        return mean, float("nan"), float("nan")
    margin = float(stats.t.ppf(0.975, len(rows) - 1) * np.std(rows, ddof=1) / len(rows) ** 0.5)
    return mean, mean - margin, mean + margin
