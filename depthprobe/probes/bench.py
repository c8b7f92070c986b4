"""What the arms of a probe share: the bench they work on, the notebook they write into, and how a training begins."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.inputs import Split
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes.plan import GrowPlan
from depthprobe.schedules import Ramp, Schedule
from depthprobe.surgery import Edited
from depthprobe.training.batches import Augment, Batches, mix_seed
from depthprobe.training.learner import Learner
from depthprobe.training.metrics import ACCURACY, Metric
from depthprobe.training.rates import Rates


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


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Random states (torch's, the device's, numpy's, Python's) are after the block what they were before."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def begin_training(net: nn.Module, bench: Bench, split: Split, arm: Arm) -> Learner:
    """The training of one arm, at step 0; the generators of torch, numpy and Python are seeded."""
    seed = mix_seed(arm.seed, 3)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    batches = Batches(
        split.train, bench.train.batch_size, mix_seed(arm.seed, 4), bench.augment, bench.accelerator.device
    )
    return Learner(net, batches, bench.train, bench.accelerator, bench.own, arm.rate)
