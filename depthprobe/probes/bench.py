"""What the arms of a probe share: the bench they work on, the notebook they write into, and how a training begins."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.inputs import Split
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes.places import Place
from depthprobe.probes.plan import Candidate
from depthprobe.schedules import Ramp, Schedule, StairLengths
from depthprobe.surgery import Edit, Edited
from depthprobe.training.batches import Augment, Batches, mix_seed
from depthprobe.training.learner import Learner
from depthprobe.training.metrics import ACCURACY, Metric
from depthprobe.training.rates import Rates
from depthprobe.training.teacher import Teacher
from depthprobe.training.team import ALONE, Team


@dataclass(frozen=True)
class Arm:
    """One training: the seed, its rank among the seeds, "grow" or "control", and the factor on the learning rate."""

    seed: int
    rank: int
    kind: str
    rate: float = 1.0


class Plan(Protocol):
    """What the arms of a probe follow. gates: of the edits, in order of the data flow; opened, depths: of the
    candidates, ascending; base: the candidate that the control trains; cool, up_cool: updates of a cooled branch on the
    way down and up; updates: those that the last measured network saw; places: measured alone.
    """

    @property
    def edits(self) -> Sequence[Edit]: ...  # noqa: D102
    @property
    def gates(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def opened(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def depths(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def base(self) -> Candidate: ...  # noqa: D102
    @property
    def candidates(self) -> tuple[Candidate, ...]: ...  # noqa: D102
    @property
    def gate_macs(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def cool(self) -> int: ...  # noqa: D102
    @property
    def up_cool(self) -> int: ...  # noqa: D102
    @property
    def updates(self) -> int: ...  # noqa: D102
    @property
    def lengths(self) -> StairLengths: ...  # noqa: D102
    @property
    def places(self) -> tuple[Place, ...]: ...  # noqa: D102
    def schedule(self, rank: int) -> Schedule: ...  # noqa: D102
    def closing_gates(self, rank: int) -> tuple[str, ...]: ...  # noqa: D102


P_co = TypeVar("P_co", bound=Plan, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Bench(Generic[P_co]):
    """What every arm of one probe shares. build: seed -> fresh base network; split: rank -> data. own, rates, metric:
    the user's functions, learning-rate factors and what is measured. teacher: of every arm that begins. team: the
    processes that train each arm together; slowed: a factor on the learning rate of every arm.
    """

    build: Callable[[int], nn.Module]
    split: Callable[[int], Split]
    plan: P_co
    train: TrainConfig
    augment: bool | Augment
    accelerator: Accelerator
    own: Overrides = field(default_factory=Overrides)
    rates: Rates = field(default_factory=Rates)
    metric: Metric = ACCURACY
    teacher: Teacher | None = None
    team: Team = ALONE
    slowed: float = 1.0


class Notebook(Protocol):
    """Where an arm writes: records, candidate networks, checkpoints."""

    def watch(self, learner: Learner) -> None:
        """The arm's training, so that its bill is known however it ends."""

    def record(self, record: dict[str, Any]) -> None:
        """Append one measurement."""

    def measured(self, arm: Arm) -> list[float]:
        """What the arm measured so far, in order."""

    def measurements(self, seed: int, kind: str) -> list[dict[str, Any]]:
        """Measurement records of an arm, in order."""

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


def begin_training(net: nn.Module, bench: Bench[Plan], split: Split, arm: Arm) -> Learner:
    """The training of one arm, at step 0; the generators of torch, numpy and Python are seeded."""
    seed = mix_seed(arm.seed, 3)
    bench.team.seed(arm.seed, 3)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    batches = Batches(
        split.train, bench.train.batch_size, mix_seed(arm.seed, 4), bench.augment, bench.accelerator.device
    )
    return Learner(
        net,
        batches,
        bench.train,
        bench.accelerator,
        bench.own,
        arm.rate * bench.slowed,
        teacher=bench.teacher,
        team=bench.team,
    )
