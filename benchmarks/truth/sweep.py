"""The sweep: pilots, from-scratch trainings and full-budget grow runs, one JSON line each, resumable."""

import base64
import json
import time
import zlib
from pathlib import Path

import numpy as np
import torch

import depthprobe as dp
from depthprobe.config import TrainConfig
from depthprobe.errors import TrainingError
from depthprobe.graph.costs import count_macs
from depthprobe.probes.bench import RatioDriver
from depthprobe.probes.plan import grown
from depthprobe.schedules import staggered
from depthprobe.training.batches import Batches, mix_seed
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner, predict
from depthprobe.training.optimizers import lr_factor
from truth.cases import BATCH, DEPTHS, INITS, PILOT_DEPTH, PILOT_SEEDS, RATES, SEEDS, STEPS, Case

MARKS = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
VETO = 0.1
GROWN_INIT = "identity"  # of a grow run's new layers: what the probe uses
GROWN_SHARE = 0.5  # of a full-budget grow run to the deepest is growth, to a shallower depth less in proportion


def tasks(rates_of):
    """Keys of everything to be trained for one case; pilots come first and decide the rate of the rest."""
    for rate in RATES:
        for seed in PILOT_SEEDS:
            yield {"kind": "pilot", "init": "default", "depth": PILOT_DEPTH, "seed": seed, "lr": rate}
    rate = rates_of()
    for init in INITS:
        for kind in ("scratch", "grown"):
            for depth in DEPTHS:
                if kind == "grown" and (init != GROWN_INIT or depth == 1):
                    continue  # a grow run to one layer is a training from scratch
                for seed in SEEDS:
                    yield {"kind": kind, "init": init, "depth": depth, "seed": seed, "lr": rate}


class Store:
    """One JSON-lines file per case; a torn last line is dropped."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    self.rows.append(json.loads(line))
                except ValueError:
                    continue

    def find(self, **key):
        return next((row for row in self.rows if all(row[k] == v for k, v in key.items())), None)

    def add(self, row) -> None:
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def best_rate(self) -> float:
        """The rate that was best in the first pilot, unless the second one, of another seed, falls far behind there."""
        first, second = ({row["lr"]: row["valid"] for row in self.pilots(seed)} for seed in PILOT_SEEDS)
        sound = [rate for rate in RATES if second[rate] > first[rate] - VETO]
        return max(sound or RATES, key=lambda rate: (first[rate], -rate))

    def pilots(self, seed: int):
        """The pilot rows of one seed."""
        return [row for row in self.rows if row["kind"] == "pilot" and row["seed"] == seed]


def run_case(case: Case, path: Path, data_dir: Path | None, *, backwards: bool = False, say=print) -> None:
    """Train what is missing of one case. Two processes may share the work, one of them backwards."""
    for pilot in (True, False):
        listed = [task for task in tasks(Store(path).best_rate if not pilot else float) if _is_pilot(task) == pilot]
        for task in reversed(listed) if backwards else listed:
            store = Store(path)  # another process may have added to it
            if not store.find(**task):
                row = {**task, **train(case, task, data_dir)}
                store.add(row)
                say(f"{case.name} {task} valid {row['valid']:.4f} {row['seconds']:.0f}s", flush=True)


def _is_pilot(task) -> bool:
    return task["kind"] == "pilot"


def train(case: Case, task, data_dir: Path | None):
    """One training; cosine over STEPS updates (pilots: half as many)."""
    begin = time.monotonic()
    learner, schedule, course, what = run_training(case, task, data_dir)
    split, steps = case.split(task["seed"], data_dir), learner.config.steps
    macs = mean_macs(case, task["depth"], schedule, split.train.x[:2], data_dir)
    return {
        "steps": steps,
        "macs": macs * steps * learner.batches.size,
        "diverged": what,
        "course": course,
        **read_answers(learner.net, split),
        "seconds": round(time.monotonic() - begin, 1),
    }


def read_answers(net, split):
    """Accuracy and, packed, the right answers of a network on validation and test examples."""
    bits = {part: (outputs(net, getattr(split, part).x) == getattr(split, part).y) for part in ("valid", "test")}
    return {
        **{part: float(right.double().mean()) for part, right in bits.items()},
        **{f"{part}_bits": pack(right.numpy()) for part, right in bits.items()},
        "valid_id": split.valid_id[:16],
    }


def run_training(case: Case, task, data_dir: Path | None):
    """(learner at its end, schedule, accuracies on the way, why it diverged or None)."""
    split = case.split(task["seed"], data_dir)
    steps = STEPS // 2 if task["kind"] == "pilot" else STEPS
    net, schedule = build(case, task, steps, split.train.x[:2], data_dir)
    learner, course, what = fit(net, split, task["seed"], task["lr"], case.augment, steps, schedule)
    return learner, schedule, course, what


def fit(net, split, seed: int, rate: float, augment: bool, steps: int = STEPS, schedule=None):
    """(learner at its end, accuracies on the way, why it diverged or None)."""
    torch.manual_seed(mix_seed(seed, 3))
    accelerator = open_device("cpu", "no", 1)
    batches = Batches(split.train, BATCH, mix_seed(seed, 4), augment, accelerator.device)
    learner = Learner(net, batches, TrainConfig(lr=rate, batch_size=BATCH, steps=steps), accelerator)
    driver = RatioDriver(net, schedule) if schedule else None
    course, what = [], None
    try:
        for mark in MARKS:
            learner.run(round(mark * steps), lambda step: lr_factor("cosine", step, steps), driver)
            course.append(float((outputs(learner.net, split.valid.x) == split.valid.y).double().mean()))
    except TrainingError as error:
        what = str(error)
    return learner, course, what


def train_network(case: Case, task, data_dir: Path | None):
    """The trained network of a task."""
    return run_training(case, task, data_dir)[0].net


def build(case: Case, task, steps, example, data_dir):
    """(network, schedule): plain at `depth`, or gated with the schedule that grows it there."""
    base = case.build(1, task["seed"], data_dir)
    if task["depth"] == 1:
        return base, None
    first = next(unit.name for unit in dp.units(base, example) if unit.growable)
    edits = (dp.Duplicate(unit=first, copies=task["depth"] - 1, init=task["init"]),)
    edited = grown(base, edits, example, task["seed"])
    if task["kind"] == "grown":
        share = GROWN_SHARE * len(edited.gates) / (DEPTHS[-1] - 1)
        return edited, staggered(list(edited.gates), round(share * steps), steps=steps)
    edited.set_ratio(1.0)
    return dp.settle(edited), None


def mean_macs(case: Case, depth, schedule, example, data_dir) -> float:
    """Multiply-accumulates of one example, averaged over the training; what a closed gate skips is not counted."""
    base, deep = (count_macs(case.build(d, 0, data_dir), example) for d in (1, depth))
    if schedule is None:
        return deep
    return base + (deep - base) * sum(schedule.mean_ratio(gate) for gate in schedule.gates) / len(schedule.gates)


def outputs(net, x):
    return predict(net, x, torch.device("cpu")).argmax(1)


def pack(right) -> str:
    """Bits of right answers, compressed, as text."""
    return base64.b85encode(zlib.compress(np.packbits(right).tobytes(), 9)).decode()


def unpack(text: str, count: int):
    """(count,) float of 0 and 1."""
    return np.unpackbits(np.frombuffer(zlib.decompress(base64.b85decode(text)), np.uint8), count=count).astype(float)
