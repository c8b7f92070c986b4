"""The rows of docs/paper.md: one TOML file each, with its arms, at one of three scales."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from examples.paper.arm import Arm

SCALES = ("smoke", "cpu", "full")
SHARED = ("width", "init", "keep_gain")  # arguments that an arm's own model has in common with the row's
CONFIGS = Path(__file__).parent / "configs"
ORDER = (
    "lenet10", "lenet30", "lenet50", "lenet70", "cifar11", "max_scale", "alexnet13", "vgg16",
    "regularising", "section5", "own_lengths", "lenet102", "shallow_start", "recurrent", "widening",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One experiment at one scale. title, place, paper: what it is, where it is, what the paper says; differs: why the
    figures here may be others; found: what to make of them; seeds: how many, unless asked for others; settings: data
    set, size, steps.
    """

    name: str
    scale: str
    title: str
    place: str
    paper: str
    differs: str
    found: str
    model: str
    args: dict[str, Any]
    solver: dict[str, Any]
    settings: dict[str, Any]
    arms: tuple[Arm, ...]
    seeds: int

    def arm(self, name: str) -> Arm:
        """The arm of this name; KeyError where there is none."""
        return {arm.name: arm for arm in self.arms}[name]

    def steps(self, arm: Arm) -> int:
        """Updates of an arm."""
        return round(arm.steps * self.settings["steps"])

    def settings_of(self, arm: Arm) -> dict[str, Any]:
        """Everything that an arm's numbers depend on, as JSON has it."""
        whole = {**self.settings, "solver": self.solver, "model": self.model, "args": self.args, "arm": asdict(arm)}
        if arm.start:
            whole["start"] = asdict(self.arm(arm.start))
        return json.loads(json.dumps(whole))

    def build(self, arm: Arm, shape: tuple[int, ...]) -> nn.Module:
        """A new network for inputs of `shape`, its weights drawn from torch's generator."""
        module, _, name = (arm.model or self.model).partition(":")
        make: Callable[..., nn.Module] = getattr(import_module(f"examples.paper.{module}"), name)
        drawn = {key: value for key, value in self.args.items() if not arm.model or key in SHARED}
        return make(shape=shape, **{**drawn, **arm.args})


@cache
def read_row(name: str, scale: str) -> Row:
    """The row of configs/<name>.toml at a scale."""
    text = tomllib.loads((CONFIGS / f"{name}.toml").read_text(encoding="utf-8"))
    settings = text[scale]
    args = {**text.get("args", {}), **settings.get("args", {})}
    common = {"delay": settings.get("delay", 0.0)}
    arms = tuple(Arm(**{**common, **row, "units": tuple(row.get("units", ()))}) for row in text["arm"])
    shown = {key: text.get(key, "") for key in ("title", "place", "paper", "differs", "found", "model")}
    solver = {**text["solver"], **settings.get("solver", {})}
    about = {"name": name, "scale": scale, "seeds": text["seeds"], **shown}
    return Row(args=args, solver=solver, settings=settings, arms=arms, **about)
