"""Where the faults are done: a model, a trained checkpoint, an undisturbed run of every verb, and how runs compare."""

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faulty import studies
from faulty.child import Ended, run, start, wait
from faulty.moments import Course

NET = """
from torch import nn

model = nn.Sequential(
    nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1), nn.MaxPool2d(4),
    nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(),
    nn.Flatten(), nn.Linear(24, 10),
)
"""
COMMON = ["--steps", "60", "--lr", "0.05", "--threads", "1", "--quiet", "--json"]
PROBE = ["--seeds", "2", "--tolerance", "0.02"]
STUDY = ["--trials", "3", "--sampler", "random", "--confirm-seeds", "2", "--heartbeat", "1"]
VERBS = {
    "grow": ["grow", "net.py", "-d", "digits", "--copies", "1", *COMMON, *PROBE],
    "shrink": ["shrink", "trained.pt", *COMMON, *PROBE],
    "width": ["width", "trained.pt", *COMMON, *PROBE],
    # What the random sampler proposes depends on the trial's number alone: the answer is that of any number of workers.
    "tune": ["tune", "net.py", "-d", "digits", "--copies", "2", *COMMON, "--tolerance", "0.02", *STUDY],
}
DAMAGED = ("grow", "shrink", "width")  # whose disks are filled and files spoilt too


@dataclass(frozen=True)
class Place:
    """A work folder. courses: of the undisturbed run of every verb."""

    folder: Path
    courses: dict[str, Course]

    def words(self, verb: str, out: str, workers: int = 1) -> list[str]:
        return [*VERBS[verb], "--out", out, *(["--workers", str(workers)] if workers > 1 else [])]

    def resume(self, out: str) -> list[str]:
        return ["resume", out, "--quiet", "--json"]

    def difference(self, verb: str, out: str) -> str | None:
        """What of a finished run is not as in the undisturbed one; None: nothing."""
        compare = studies.difference if verb == "tune" else difference
        return compare(self.folder / f"whole-{verb}", self.folder / out)

    def remove(self, out: str) -> None:
        shutil.rmtree(self.folder / out, ignore_errors=True)


def make_place(folder: Path, verbs: Collection[str]) -> Place:
    """Prepare `folder`: train, then one undisturbed run of every verb."""
    (folder / "net.py").write_text(NET)
    ended = run(["train", "net.py", "-d", "digits", *COMMON, "--out", "trained"], folder)
    check(ended)
    shutil.copy(folder / "trained" / "model.pt", folder / "trained.pt")
    courses = {}
    for verb in verbs:
        child, course = start([*VERBS[verb], "--out", f"whole-{verb}"], folder), Course(folder / f"whole-{verb}")
        ended = wait(child, look=course.look)
        check(ended)
        course.look()
        courses[verb] = course
        print(f"undisturbed {verb}: {ended.seconds:.1f} s, {len(course.reached)} points of progress", flush=True)
    return Place(folder, courses)


def check(ended: Ended) -> None:
    if ended.code:
        raise SystemExit(f"the undisturbed run ended with {ended.code}:\n{ended.err}")


def difference(whole: Path, other: Path) -> str | None:
    if (whole / "records.jsonl").read_bytes() != (other / "records.jsonl").read_bytes():
        return "records.jsonl differs"
    answers = [timeless(json.loads((run / "recommendation.json").read_text())) for run in (whole, other)]
    if answers[0] != answers[1]:
        return "recommendation.json differs"
    if (whole / "recipe.json").read_bytes() != (other / "recipe.json").read_bytes():
        return "recipe.json differs"
    ours, theirs = (torch.load(run / "model.pt", weights_only=True)["state_dict"] for run in (whole, other))
    if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name]) for name in ours):
        return "model.pt differs"
    half = [path.name for path in other.rglob("*.partial")]
    return f"half-written files: {half}" if half else None


def timeless(document: Any) -> Any:
    """Without times and latencies, and what is chosen by them."""
    if isinstance(document, dict):
        return {k: timeless(v) for k, v in document.items() if not k.endswith(("_seconds", "_ms", "_at"))}
    return [timeless(value) for value in document] if isinstance(document, list) else document
