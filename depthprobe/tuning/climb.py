"""One training of a trial: up the stairs to the deepest candidate, measured at every hold."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import TrainingError
from depthprobe.inputs import Split
from depthprobe.probes.arms import run_stairs
from depthprobe.probes.bench import Arm, Bench
from depthprobe.probes.cost import mean_macs
from depthprobe.probes.holds import measure_hold
from depthprobe.probes.plan import GrowPlan, plan_grow
from depthprobe.schedules import Hold
from depthprobe.surgery import Edited
from depthprobe.training.checkpoints import checkpoints, read_checkpoint, save_checkpoint
from depthprobe.training.learner import Learner
from depthprobe.tuning.stairs import climb

AtHold = Callable[[int, float], None]

_log = logging.getLogger("depthprobe")


class TrialNotebook:
    """The records of one training, kept in memory and in its checkpoints. place: a folder for these, or None; key: of
    the training: what another one left in the same folder is not gone on with.
    """

    def __init__(self, place: Path | None, key: str = "") -> None:
        self.place, self.key, self.records = place, key, list[dict[str, Any]]()
        self.learner: Learner | None = None
        self.resumed_at = 0  # the step that a checkpoint had

    def restore(self) -> dict[str, Any] | None:
        """The state of the newest sound checkpoint of this training, its records taken over; None when there is none to
        go on from.
        """
        place = self.place
        if place is None or not place.is_dir():
            return None
        for number in checkpoints(place):
            try:
                payload, seal = read_checkpoint(place, number)
            except ValueError:
                continue  # damaged: the one before it, or the start, gives the same bits
            if seal.get("key") != self.key:
                _log.warning("%s: checkpoint %08d is of another training and left alone", place, number)
                continue
            self.records, self.resumed_at = json.loads(payload["records"]), int(payload["learner"]["step"])
            return dict(payload["learner"])
        return None

    def watch(self, learner: Learner) -> None:
        """Remember the training, for its bill."""
        self.learner = learner

    def record(self, record: dict[str, Any]) -> None:
        """Keep one record."""
        self.records.append(record)

    def measured(self, arm: Arm) -> list[float]:
        """What was measured so far."""
        return [record["value"] for record in self.measurements(arm.seed, arm.kind)]

    def measurements(self, seed: int, kind: str) -> list[dict[str, Any]]:
        """One measurement for every hold, in order."""
        return [record for record in self.records if record["kind"] == "measurement" and record["walk"] == "up"]

    def keep(self, arm: Arm, opened: int, net: nn.Module) -> None:
        """Networks are not kept."""

    def progress(self, arm: Arm, step: int, loss: float, ratios: list[float]) -> None:
        """Nobody watches."""

    def checkpoint(self, arm: Arm, state: dict[str, Any]) -> None:
        """Make the training resumable from here."""
        if self.place is not None:
            self.place.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.place, {"records": json.dumps(self.records), "learner": state}, {"key": self.key})

    def discard(self) -> None:
        """Checkpoints of a training that ended are of no use."""
        if self.place is not None:
            shutil.rmtree(self.place, ignore_errors=True)


def key_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of what a training depends on; plain values."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def planned(bench: Bench[GrowPlan], grow: GrowConfig, train: TrainConfig) -> Bench[GrowPlan]:
    """The bench with the stairs, gates and rates of other settings. Raises UsageError where the model refuses them."""
    split = bench.split(0)
    plan = plan_grow(bench.build(grow.seed), split.train.x[:2], grow, train, len(split.train))
    return replace(bench, plan=plan, train=train)


def train_up(
    bench: Bench[GrowPlan], arm: Arm, fold: int, notebook: TrialNotebook, at_hold: AtHold | None = None
) -> dict[str, Any]:
    """Train and measure; goes on from the notebook's checkpoint if there is one.

    fold: of the data. at_hold: hears rank and value of every hold, those of a checkpoint too; what it raises ends the
    training. In the result, plain values: the value and scores at the deepest candidate, or "failed" in words.
    """
    state, tell = notebook.restore(), at_hold or (lambda rank, value: None)
    for rank, value in enumerate(notebook.measured(arm)):
        tell(rank, value)
    placed = replace(bench, split=lambda _: bench.split(fold))
    result: dict[str, Any] = {"seed": arm.seed, "failed": None}
    try:
        schedule = climb(bench.plan.schedule(arm.rank))
        run_stairs(placed, arm, notebook, state, schedule, partial(_measure, placed, arm, notebook, tell))
    except TrainingError as error:
        result["failed"] = error.what
    notebook.discard()
    found = notebook.measurements(arm.seed, arm.kind)
    result["curve"] = [[record["depth"], record["value"]] for record in found]
    learner = notebook.learner
    result |= {"updates": learner.updates if learner else 0, "samples": learner.samples if learner else 0}
    if result["failed"] is None:
        kept = ("value", "examples", "valid_id", "scores", "scores32")
        result |= {name: found[-1][name] for name in kept if name in found[-1]}
    return result


def _measure(
    bench: Bench[GrowPlan],
    arm: Arm,
    notebook: TrialNotebook,
    tell: AtHold,
    learner: Learner,
    edited: Edited,
    split: Split,
    hold: Hold,
) -> None:
    measure_hold(bench, arm, notebook, learner, edited, split, hold)
    values = notebook.measured(arm)
    tell(len(values) - 1, values[-1])


def cost_of(plan: GrowPlan, rank: int) -> float:
    """What the way up and its cooled end cost, in conventional trainings of the deepest candidate, by
    multiply-accumulates; cooled branches on the way are measurements and not counted.
    """
    schedule, deepest = climb(plan.schedule(rank)), plan.candidates[-1].macs
    work = schedule.steps * mean_macs(plan, schedule) + plan.cool * deepest
    return work / (plan.steps * deepest)
