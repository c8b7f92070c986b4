"""One arm: a training in a run folder of its own, which goes on where it was interrupted."""

import time
from pathlib import Path
from typing import Any

from depthprobe.errors import TrainingError
from depthprobe.inputs import Split
from depthprobe.probes.environment import describe_environment
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner
from examples.paper.accuracy import accuracy
from examples.paper.arm import Arm
from examples.paper.begin import begin_arm
from examples.paper.rows import Row
from examples.paper.solver import make_factor
from examples.paper.walks import Walk

LOOKS = 20  # points of the curve
LOOKED_AT = 1000  # validation examples of a point
CHECKPOINT_SECONDS = 30.0


def train_arm(row: Row, arm: Arm, seed: int, split: Split, path: Path, start: Path | None) -> dict[str, Any]:
    """Train, or go on training, in the run folder `path`; returns what was measured.

    start: the run folder of the arm whose weights it begins with. A loss that is no longer finite is a result too.
    """
    about = {"row": row.name, "arm": arm.name, "seed": seed, "scale": row.scale, "settings": row.settings_of(arm)}
    with RunFolder.open(path, write=True) if path.exists() else new_folder(path, about) as folder:
        if folder.finished:
            return folder.read_json("summary.json")
        payload = folder.restore()
        begun = time.monotonic() - payload["seconds"]
        walk, learner = begin_arm(row, arm, seed, split, start)
        if payload["learner"] is not None:
            learner.load(payload["learner"])
        failed = None
        try:
            train(row, arm, walk, learner, split, folder, begun)
        except TrainingError as error:
            failed = str(error).splitlines()[0]
        looks = list(folder.records())
        net = walk.finish() if failed is None else walk.net
        folder.write_torch("model.pt", {"state_dict": net.state_dict()})
        summary = {
            "steps": learner.step,
            "test_error": None if failed else round(1.0 - accuracy(net, split.test.x, split.test.y), 6),
            "train_loss": None if failed else round(looks[-1]["loss"], 5),
            "seconds": round(time.monotonic() - begun, 1),
            "device": str(learner.accelerator.device),
            "failed": failed,
            "curve": [[r["step"], round(r["at"], 4), round(r["valid"], 4)] for r in looks],
        }
        folder.write_json("summary.json", summary)
        return summary


def new_folder(path: Path, about: dict[str, Any]) -> RunFolder:
    """A run folder as those of `depthprobe train`."""
    return RunFolder.create(path, "train", about, describe_environment("auto"))


def train(row: Row, arm: Arm, walk: Walk, learner: Learner, split: Split, folder: RunFolder, begun: float) -> None:
    """Train to the end of the arm, and look at validation examples on the way."""
    steps, saved = row.steps(arm), time.monotonic()
    factor, every = make_factor(row.solver, steps), max(1, steps // LOOKS)
    while learner.step < steps:
        mark = min(steps, (learner.step // every + 1) * every)
        loss = learner.run(mark, factor, walk.move)
        walk.move(learner.step)
        valid = accuracy(learner.net, split.valid.x[:LOOKED_AT], split.valid.y[:LOOKED_AT])
        folder.append({"kind": "trace", "step": mark, "at": walk.at(), "valid": valid, "loss": loss})
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            folder.save({"arm": 0, "learner": learner.state(), "seconds": time.monotonic() - begun})
            saved = time.monotonic()
