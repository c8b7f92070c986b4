"""Arms: one training inside a probe; its marks, its measurements, its checkpoints."""

import base64
import copy
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.inputs import Split
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes.plan import GrowPlan, grown
from depthprobe.schedules import Hold, Ramp, Schedule
from depthprobe.surgery import Edited, apply, settle, settle_with_map
from depthprobe.training.batches import Augment, Batches, mix_seed
from depthprobe.training.learner import Learner, predict, refresh_batch_norm
from depthprobe.training.metrics import ACCURACY, Metric, Scored
from depthprobe.training.rates import Rates

TRACES = 40
TRACE_EXAMPLES = 256
NORM_BATCHES = 40
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class Arm:
    """One training: the seed, its rank among the seeds, "grow" or "control", and the factor on the learning rate."""

    seed: int
    rank: int
    kind: str
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every arm of one probe shares. build: seed -> fresh base network; split: rank -> data. own, rates, metric:
    the user's functions, learning-rate factors and what is measured.
    """

    build: Callable[[int], nn.Module]
    split: Callable[[int], Split]
    plan: GrowPlan
    train: TrainConfig
    augment: bool | Augment
    accelerator: Accelerator
    own: Overrides = field(default_factory=Overrides)
    rates: Rates = field(default_factory=Rates)
    metric: Metric = ACCURACY


class Notebook(Protocol):
    """Where an arm writes: records, candidate networks, checkpoints."""

    def watch(self, learner: Learner) -> None:
        """The arm's training, so that its bill is known however it ends."""

    def record(self, record: dict[str, Any]) -> None:
        """Append one measurement."""

    def keep(self, arm: Arm, opened: int, net: nn.Module) -> None:
        """Offer the measured network of a candidate."""

    def progress(self, arm: Arm, step: int, loss: float, ratios: list[float]) -> None:
        """Hear of every few steps; for the eye only."""

    def checkpoint(self, arm: Arm, state: dict[str, Any]) -> None:
        """Make the arm resumable from here."""


class RatioDriver:
    """Sets the gates that move at a step; the others stay as they are."""

    def __init__(self, edited: Edited, schedule: Schedule) -> None:
        self.gates, self.schedule = edited.gates, schedule
        self.coming = sorted(schedule.ramps, key=lambda ramp: ramp.start)
        self.moving: list[Ramp] = []
        self.expected: int | None = None

    def __call__(self, step: int) -> None:
        """Ratios of `step`; steps usually come one after another, a jump sets every gate."""
        if step != self.expected:
            for name, ratio in self.schedule.ratios(step).items():
                self.gates[name].ratio = ratio
            self.coming = sorted((r for r in self.schedule.ramps if r.start > step), key=lambda ramp: ramp.start)
            self.moving = [r for r in self.schedule.ramps if r.start <= step < r.start + r.length]
        while self.coming and self.coming[0].start <= step:
            self.moving.append(self.coming.pop(0))
        for ramp in self.moving:
            self.gates[ramp.gate].ratio = ramp.ratio(step)
        self.moving = [ramp for ramp in self.moving if step < ramp.start + ramp.length]
        self.expected = step + 1

    def ratios(self) -> list[float]:
        """Ratios of all gates now, in order of the data flow."""
        return [gate.ratio for gate in self.gates.values()]


def run_grow_arm(bench: Bench, arm: Arm, notebook: Notebook, state: dict[str, Any] | None = None) -> Learner:
    """Up the stairs and down again, a branch cooled and measured at the end of every hold.

    state: of a checkpoint, to go on from. Raises TrainingError when the loss stops being finite.
    """
    split = bench.split(arm.rank)
    schedule = bench.plan.schedule(arm.rank)
    edited = grown(bench.build(arm.seed), bench.plan.edits, split.train.x[:2], arm.seed)
    learner = _learner(edited, bench, split, arm)
    notebook.watch(learner)
    if state is not None:
        learner.load(state)
    driver = RatioDriver(edited, schedule)
    holds = {hold.end: hold for hold in schedule.holds}
    every = trace_distance(schedule.steps)
    saved = time.monotonic()
    while learner.step < schedule.steps:
        mark = next_mark(learner.step, every, [*holds, schedule.steps])
        loss = learner.run(mark, bench.rates.hold, driver, lambda s, v: notebook.progress(arm, s, v, driver.ratios()))
        driver(learner.step)
        trace_point(arm, notebook, learner, split, loss, driver.ratios(), bench.metric)
        if mark in holds:
            _measure_hold(bench, arm, notebook, learner, edited, split, holds[mark])
        if mark in holds or time.monotonic() - saved > CHECKPOINT_SECONDS:
            notebook.checkpoint(arm, learner.state())
            saved = time.monotonic()
    return learner


def run_control_arm(bench: Bench, arm: Arm, notebook: Notebook, state: dict[str, Any] | None = None) -> Learner:
    """The base network, same data order, same number of updates, no growth; cooled at the end."""
    split = bench.split(arm.rank)
    learner = _learner(bench.build(arm.seed), bench, split, arm)
    notebook.watch(learner)
    if state is not None:
        learner.load(state)
    walk, end = bench.plan.schedule(arm.rank).steps, bench.plan.updates
    every = trace_distance(walk)

    def shape(step: int) -> float:
        return bench.rates.hold(step) if step < walk else bench.rates.cool(step - walk, end - walk)

    saved = time.monotonic()
    while learner.step < end:
        mark = next_mark(learner.step, every, [walk, end])
        loss = learner.run(mark, shape, None, lambda s, v: notebook.progress(arm, s, v, []))
        trace_point(arm, notebook, learner, split, loss, [], bench.metric)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            notebook.checkpoint(arm, learner.state())
            saved = time.monotonic()
    scores = measure(learner, split, bench.metric)
    depth = bench.plan.depths[0]
    notebook.keep(arm, 0, settle(apply(learner.net, [], split.train.x[:2].to(bench.accelerator.device))))
    notebook.record(_measurement(arm, learner, scores, walk="control", opened=0, depth=depth, valid_id=split.valid_id))
    return learner


def undisturbed(device: torch.device) -> AbstractContextManager[None]:
    """Random states, the device's too, are after the block what they were before."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def measure(learner: Learner, split: Split, metric: Metric = ACCURACY) -> Scored:
    """Re-estimate BatchNorm, then score the validation examples. Raises TrainingError when a score is not finite."""
    device = learner.accelerator.device
    refresh_batch_norm(learner.net, (learner.batches.at(learner.step + i, plain=True)[0] for i in range(NORM_BATCHES)))
    return metric.score(predict(learner.net, split.valid.x, device), split.valid.y)


def branch_and_cool(learner: Learner, edited: Edited, steps: int, seed: int, rates: Rates | None = None) -> Learner:
    """A settled copy of the network with its optimizer state, its rate annealed over `steps` updates.

    Parameter groups are made anew, by the same rule; what the trunk's groups hold beside parameters and rates is taken
    over where there are as many. The trunk's weights and optimizer are left as they are; the random state is the
    caller's to put back.
    """
    plain, became = settle_with_map(edited)
    branch = Learner(plain, learner.batches, learner.config, learner.accelerator, learner.own, learner.rate)
    for parameter, twin in became.items():
        state = learner.optimizer.state.get(parameter)
        if state:
            branch.optimizer.state[twin] = {
                key: value.clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
                for key, value in state.items()
            }
    groups, old = branch.optimizer.param_groups, learner.optimizer.param_groups
    for group, other in zip(groups, old, strict=True) if len(groups) == len(old) else []:
        group.update({key: copy.deepcopy(value) for key, value in other.items() if key not in ("params", "lr")})
    begin = branch.step = learner.step
    torch.manual_seed(mix_seed(seed, begin, 2))
    shape = rates or Rates()
    branch.run(begin + steps, lambda step: shape.cool(step - begin, steps))
    return branch


def _learner(net: nn.Module, bench: Bench, split: Split, arm: Arm) -> Learner:
    torch.manual_seed(mix_seed(arm.seed, 3))
    batches = Batches(
        split.train, bench.train.batch_size, mix_seed(arm.seed, 4), bench.augment, bench.accelerator.device
    )
    return Learner(net, batches, bench.train, bench.accelerator, bench.own, arm.rate)


def next_mark(step: int, every: int, others: list[int]) -> int:
    """The next step at which something is recorded: a multiple of `every`, or the nearest of `others` ahead."""
    ahead = [mark for mark in others if mark > step]
    return min([(step // every + 1) * every, *ahead] if ahead else [(step // every + 1) * every])


def _measure_hold(
    bench: Bench, arm: Arm, notebook: Notebook, learner: Learner, edited: Edited, split: Split, hold: Hold
) -> None:
    rank = bench.plan.opened.index(hold.opened)
    # The deepest candidate is the end of the way up and the start of the way down.
    walks = ["up", "down"] if hold.opened == bench.plan.opened[-1] else [hold.walk]
    length = bench.plan.cool if "down" in walks else bench.plan.up_cool
    with undisturbed(bench.accelerator.device):
        branch = branch_and_cool(learner, edited, length, arm.seed, bench.rates)
        scores = measure(branch, split, bench.metric)
    learner.samples += branch.samples
    learner.updates += branch.updates
    for walk in walks:
        notebook.record(
            _measurement(
                arm,
                learner,
                scores,
                walk=walk,
                opened=hold.opened,
                depth=bench.plan.depths[rank],
                valid_id=split.valid_id,
            )
        )
    if "down" in walks:
        notebook.keep(arm, hold.opened, branch.net)


def _measurement(
    arm: Arm, learner: Learner, scored: Scored, *, walk: str, opened: int, depth: int, valid_id: str
) -> dict[str, Any]:
    return {
        "kind": "measurement",
        "arm": arm.kind,
        "seed": arm.seed,
        "walk": walk,
        "opened": opened,
        "depth": depth,
        "step": learner.step,
        "samples": learner.samples,
        "value": scored.value,
        "examples": scored.examples,
        "valid_id": valid_id[:16],
        **pack_scores(scored),
    }


def pack_scores(scored: Scored) -> dict[str, str]:
    """Scores as text: a bit for each where all are 0 or 1, else float32 (little-endian, base64)."""
    scores = scored.scores
    if len(scores) == scored.examples and ((scores == 0.0) | (scores == 1.0)).all():
        return {"scores": np.packbits(scores.astype(bool)).tobytes().hex()}
    return {"scores32": base64.b64encode(scores.astype("<f4").tobytes()).decode()}


def trace_distance(steps: int) -> int:
    """Updates between two trace points: about forty in an arm, never so close that they cost much."""
    return max(20, steps // TRACES)


def trace_point(
    arm: Arm,
    notebook: Notebook,
    learner: Learner,
    split: Split,
    loss: float,
    ratios: list[float],
    metric: Metric = ACCURACY,
) -> None:
    """Record loss, uncooled metric on the first 256 validation examples, and ratios, as they are at this step; nothing
    when the metric of so few examples is not finite: only measurements decide.
    """
    x, y = split.valid.x[:TRACE_EXAMPLES], split.valid.y[:TRACE_EXAMPLES]
    value = metric.value(predict(learner.net, x, learner.accelerator.device), y)
    if not math.isfinite(value):
        return
    notebook.record(
        {
            "kind": "trace",
            "arm": arm.kind,
            "seed": arm.seed,
            "step": learner.step,
            "loss": loss,
            "value": value,
            "ratios": [round(ratio, 4) for ratio in ratios],
        }
    )
