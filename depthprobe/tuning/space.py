"""The search space: which settings of a grow run are tried, and from which values."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from depthprobe.config import unknown_key
from depthprobe.errors import ConfigError

Value = str | float | int


@dataclass(frozen=True)
class Choices:
    """One of several values."""

    values: tuple[Value, ...]

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        return value in self.values

    def suggest(self, trial: optuna.Trial, name: str) -> Value:
        """What the sampler proposes."""
        return trial.suggest_categorical(name, self.values)  # type: ignore[return-value]

    def to_json(self) -> Any:
        """As in a space file."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; log: as many between 0.001 and 0.01 as between 0.01 and 0.1."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether `value` lies in it."""
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def suggest(self, trial: optuna.Trial, name: str) -> Value:
        """What the sampler proposes."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def to_json(self) -> Any:
        """As in a space file."""
        return {"low": self.low, "high": self.high, "log": self.log}


Domain = Choices | Range
Space = Mapping[str, Domain]

_WORDS = {
    "schedule": ("staggered", "together"),
    "opening": ("forward", "reverse"),
    "mode": ("prefix", "bernoulli", "blend"),
    "granularity": ("sample", "channel"),
    "optimizer": ("sgd", "adam", "adamw"),
}
# Least and largest value of a number; start, hold and cool are shares of the updates up to the deepest measurement.
_BOUNDS: dict[str, tuple[float, float]] = {
    "overlap": (1, 1000),
    "start": (0.001, 0.9),
    "hold": (0.0001, 0.1),
    "cool": (0.001, 0.9),
    "max_scale": (1.0, 1e6),
    "lr": (1e-9, 100.0),
    "new_lr_scale": (1e-6, 1000.0),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 10.0),
    "clip": (1e-6, 1e6),
}
# In this order: what others depend on comes first.
TUNABLE = (
    "schedule", "overlap", "opening", "start", "hold", "cool", "mode", "granularity", "max_scale", "init", "optimizer",
    "lr", "new_lr_scale", "momentum", "weight_decay", "clip",
)  # fmt: skip
_WHOLE = ("overlap",)
OFF = "off"  # no scaling of the Bernoulli paths


def default_space(lr: float | None) -> dict[str, Domain]:
    """What is tried unless a space file says otherwise. lr: the rate to search around, None where the optimizer is the
    user's.
    """
    space: dict[str, Domain] = {
        "schedule": Choices(("staggered", "together")),
        "overlap": Range(1, 8, log=True, whole=True),
        "opening": Choices(("forward", "reverse")),
        "start": Range(0.02, 0.4),
        "hold": Range(0.002, 0.02, log=True),
        "cool": Range(0.03, 0.3),
        "mode": Choices(("prefix", "bernoulli", "blend")),
        "granularity": Choices(("sample", "channel")),
        "max_scale": Choices((OFF, 2.0, 10.0)),
        "init": Choices(("auto", "default", "copy", "he", "xavier")),
        "new_lr_scale": Range(0.3, 3.0, log=True),
    }
    if lr is not None:
        space["lr"] = Range(lr / 10, 3 * lr, log=True)
    return in_order(space)


def in_order(space: Space) -> dict[str, Domain]:
    """The space with what others depend on first."""
    return {name: space[name] for name in TUNABLE if name in space}


def applies(name: str, values: Mapping[str, Any], settled: Mapping[str, Any]) -> bool:
    """Whether a setting means anything beside what was drawn before it. settled: the settings that are not searched."""
    drawn = {**settled, **values}
    if name in ("overlap", "opening"):
        return bool(drawn["schedule"] == "staggered")
    if name == "granularity":
        return bool(drawn["mode"] != "blend")
    return name != "max_scale" or bool(drawn["mode"] == "bernoulli")


def draw(trial: optuna.Trial, space: Space, settled: Mapping[str, Any]) -> dict[str, Value]:
    """The values that the sampler proposes for a trial, those that mean nothing together left out."""
    values: dict[str, Value] = {}
    for name, domain in in_order(space).items():
        if applies(name, values, settled):
            values[name] = domain.suggest(trial, name)
    return values


def read_space(path: Path) -> dict[str, Domain | None]:
    """The changes to the space that a TOML file asks for; None takes a setting out. Raises ConfigError with the key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("the space file cannot be read", where=str(path), found=error.strerror) from error
    except ValueError as error:
        raise ConfigError("the space file is no TOML", where=str(path), found=str(error)) from error
    return parse_space(document, str(path))


def parse_space(document: Mapping[str, Any], where: str = "--space") -> dict[str, Domain | None]:
    """The domains of a space document: lists of choices, {low, high, log}, a single value, or false for "leave it"."""
    found: dict[str, Domain | None] = {}
    for name, value in document.items():
        if name not in TUNABLE:
            raise unknown_key(name, set(TUNABLE))
        found[name] = _parse(name, value, where)
    return found


def change_space(space: Space, changes: Mapping[str, Domain | None]) -> dict[str, Domain]:
    """The space with the changes made. Raises ConfigError when nothing is left to search."""
    merged = {**space, **changes}
    left = {name: domain for name, domain in merged.items() if domain is not None}
    if not any(isinstance(domain, Range) or len(domain.values) > 1 for domain in left.values()):
        raise ConfigError("the space leaves nothing to search", where="--space", expected=", ".join(TUNABLE))
    return in_order(left)


def space_json(space: Space) -> dict[str, Any]:
    """Plain values; `parse_space` gives an equal space."""
    return {name: domain.to_json() for name, domain in space.items()}


def _parse(name: str, value: Any, where: str) -> Domain | None:
    if value is False:
        return None
    if isinstance(value, Mapping):
        return _parse_range(name, value, where)
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not _is_value(name, one):
            raise _wrong(name, where, found=repr(one))
    if not values or len(set(map(str, values))) < len(values):
        raise _wrong(name, where, found=f"{value!r}: empty, or a value twice")
    return Choices(tuple(values))


def _parse_range(name: str, value: Mapping[str, Any], where: str) -> Range:
    if name not in _BOUNDS or set(value) - {"low", "high", "log"} or not {"low", "high"} <= set(value):
        raise _wrong(name, where, found=str(dict(value)))
    low, high, log = value["low"], value["high"], value.get("log", False)
    right = _is_value(name, low) and _is_value(name, high) and isinstance(log, bool) and OFF not in (low, high)
    if not right or not low <= high or (log and low <= 0):
        raise _wrong(name, where, found=str(dict(value)))
    return Range(low, high, log, name in _WHOLE)


def _is_value(name: str, value: Any) -> bool:
    if name in _WORDS:
        return value in _WORDS[name]
    if name == "init":
        return isinstance(value, str)  # `GrowConfig` knows them all
    if name == "max_scale" and value == OFF:
        return True
    kind = int if name in _WHOLE else (int, float)
    if not isinstance(value, kind) or isinstance(value, bool) or not math.isfinite(value):
        return False
    low, high = _BOUNDS[name]
    return low <= value <= high


def _wrong(name: str, where: str, found: str) -> ConfigError:
    if name in _WORDS:
        expected = f"a list out of {', '.join(_WORDS[name])}"
    elif name == "init":
        expected = "a list out of auto, default, copy, identity, xavier, he, gaussian:STD"
    else:
        low, high = _BOUNDS[name]
        kind = "whole numbers" if name in _WHOLE else "numbers"
        expected = f"{kind} from {low:g} to {high:g}: a list, or {{low = ..., high = ..., log = true}}"
    return ConfigError(f"the space of {name} cannot be read", where=where, expected=expected + "; false", found=found)
