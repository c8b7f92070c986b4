"""`--verify`: the advised and the present architecture, trained from scratch with the same seeds and steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from depthprobe.analysis.decision import Estimate
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.verified import compare_verified
from depthprobe.config import TrainConfig
from depthprobe.graph.costs import count_weight_layers
from depthprobe.probes.answer import read_failures, unpack_scores, within
from depthprobe.probes.arms import begin_arm, trace_distance, train_on
from depthprobe.probes.bench import Arm, Bench, Notebook, Plan
from depthprobe.probes.conclusion import highest_chance
from depthprobe.probes.holds import measure, measurement
from depthprobe.probes.listener import Listener
from depthprobe.probes.runner import ProbeSetup, run_arms
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

CURRENT, ADVISED = "verify current", "verify advised"
KINDS = (CURRENT, ADVISED)


def verify_arms(seeds: Sequence[int], finished: Sequence[int]) -> list[Arm]:
    """The trainings that `--verify` adds, of the `finished` ones among the seeds."""
    return [Arm(seed, rank, kind) for rank, seed in enumerate(seeds) if seed in finished for kind in KINDS]


def verify(
    setup: ProbeSetup,
    folder: RunFolder,
    listener: Listener,
    build: Mapping[str, Callable[[int], nn.Module]],
    train: TrainConfig,
    *,
    larger: bool,
    tolerance: float,
    confidence: float,
    seeds: Sequence[int],
    limits: Mapping[str, float],
) -> tuple[dict[str, Any] | None, float]:
    """Train both, compare them; returns what recommendation.json says under `verified` (None: no seed was left), and
    the seconds that the probe took so far.

    seeds: those that finished; limits: of a budget; build: kind -> seed -> network with new weights; train: the
    settings of a training from scratch.
    """
    arms = [*setup.arms, *verify_arms(setup.seeds, seeds)]
    seconds = run_arms(setup, folder, listener, partial(run_verify_arm, build=build, train=train), arms=arms)
    metric = setup.bench.metric
    scale = 1.0 if metric.known_scale else tolerance / TARGET
    scores = read_verified(list(folder.records()), setup.seeds)
    if not scores:
        return None, seconds
    compared = compare_verified(
        scores, larger=larger, tolerance=tolerance, confidence=confidence, scale=scale, limits=limits,
        floor=highest_chance(setup.bench, len(setup.seeds)),
    )  # fmt: skip
    ends = {name: within(Estimate(**compared[name]), metric.bounds) for name in ("recommended", "current")}
    return {**compared, **ends, "steps": setup.bench.plan.steps, "lr": train.lr}, seconds


def run_verify_arm(
    bench: Bench[Plan],
    arm: Arm,
    notebook: Notebook,
    state: dict[str, Any] | None,
    *,
    build: Mapping[str, Callable[[int], nn.Module]],
    train: TrainConfig,
) -> Learner:
    """One conventional training, measured at its end."""
    split, steps = bench.split(arm.rank), bench.plan.steps
    scratch = replace(bench, train=train, teacher=None)
    learner = begin_arm(build[arm.kind](arm.seed), scratch, split, arm, notebook, state)
    train_on(
        bench, arm, notebook, learner, split,
        lambda step: bench.rates.whole(train.lr_shape, step, steps), [steps], every=trace_distance(steps),
    )  # fmt: skip
    scores = measure(learner, split, bench.metric)
    depth = count_weight_layers(learner.net)
    notebook.record(measurement(arm, learner, scores, walk=arm.kind, opened=0, depth=depth, valid_id=split.valid_id))
    return learner


def read_verified(records: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[SeedScores]:
    """Scores of the seeds of which both trainings ended."""
    failed = {(failure.seed, failure.arm) for failure in read_failures(records)}
    found = {(r["seed"], r["arm"]): r for r in records if r["kind"] == "measurement" and r["arm"] in KINDS}
    scores = []
    for seed in seeds:
        pair = [found.get((seed, kind)) for kind in KINDS]
        if None in pair or any((seed, kind) in failed for kind in KINDS):
            continue
        table = np.stack([unpack_scores(row) for row in pair if row is not None])
        scores.append(
            SeedScores(seed=seed, candidates=table, control=table[0], examples=found[seed, CURRENT]["valid_id"])
        )
    return scores
