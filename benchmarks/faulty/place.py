"""Where the faults are done: a model, a trained checkpoint, an undisturbed run of every verb, and how runs compare."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faulty.child import Ended, run

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
# A verb that is added here (tune) takes part in everything.
VERBS = {
    "grow": ["grow", "net.py", "-d", "digits", "--copies", "1", *COMMON, *PROBE],
    "shrink": ["shrink", "trained.pt", *COMMON, *PROBE],
    "width": ["width", "trained.pt", *COMMON, *PROBE],
}


@dataclass(frozen=True)
class Place:
    """A work folder. seconds: of the undisturbed run of a verb."""

    folder: Path
    seconds: dict[str, float]

    def words(self, verb: str, out: str) -> list[str]:
        return [*VERBS[verb], "--out", out]

    def resume(self, out: str) -> list[str]:
        return ["resume", out, "--quiet", "--json"]

    def difference(self, verb: str, out: str) -> str | None:
        """What of a finished run is not as in the undisturbed one; None: nothing."""
        return difference(self.folder / f"whole-{verb}", self.folder / out)

    def remove(self, out: str) -> None:
        shutil.rmtree(self.folder / out, ignore_errors=True)


def make_place(folder: Path) -> Place:
    """Prepare `folder`: train, then one undisturbed run of every verb."""
    (folder / "net.py").write_text(NET)
    ended = run(["train", "net.py", "-d", "digits", *COMMON, "--out", "trained"], folder)
    check(ended)
    shutil.copy(folder / "trained" / "model.pt", folder / "trained.pt")
    seconds = {}
    for verb in VERBS:
        ended = run([*VERBS[verb], "--out", f"whole-{verb}"], folder)
        check(ended)
        seconds[verb] = ended.seconds
        print(f"undisturbed {verb}: {ended.seconds:.1f} s", flush=True)
    return Place(folder, seconds)


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
