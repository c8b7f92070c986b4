"""`--log`: what is recorded goes to experiment trackers too, through accelerate; records.jsonl always has it all."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers

from depthprobe.errors import ConfigError
from depthprobe.probes.listener import Listener

PACKAGES = {"comet_ml": "comet-ml"}  # the others are called like their tracker
FOLDER = "log"


def check_trackers(names: Sequence[str]) -> None:
    """Raise ConfigError for a tracker that accelerate does not know, or whose package is not installed."""
    ready = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ConfigError(
                f"unknown tracker {name!r}", where="--log", expected=", ".join(sorted(map(str, LOGGER_TYPE_TO_CLASS)))
            )
        package = PACKAGES.get(name, name)
        if name not in ready and _is_built_in(name):
            raise ConfigError(
                f"the tracker {name} is not installed",
                where="--log",
                expected=f"the package {package}",
                found="trackers that are installed: " + (", ".join(sorted(ready)) or "none"),
                hint=f"pip install {package}, or leave --log {name} out",
            )


def _is_built_in(name: str) -> bool:
    """Whether accelerate brings the tracker; one that was registered from Python is there."""
    return bool(LOGGER_TYPE_TO_CLASS[name].__module__ == GeneralTracker.__module__)


@contextmanager
def tracked(setup: Any, folder: Path, config: Mapping[str, Any], listener: Listener) -> Iterator[Listener]:
    """`listener`, or one that tells the trackers of `config` what it hears, until the run ends."""
    names = config["train"].get("log") or []
    if not names:
        yield listener
        return
    accelerator = setup.bench.accelerator if hasattr(setup, "bench") else setup.accelerator
    accelerator.log_with = list(names)
    accelerator.project_configuration.logging_dir = str(folder / FOLDER)
    accelerator.init_trackers(folder.name, config=dict(flatten(config)))
    try:
        yield Tracking(accelerator, listener)
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()
        accelerator.trackers = []


class Tracking(Listener):
    """Hears what another listener hears, and logs losses and measured values by seed and arm."""

    def __init__(self, accelerator: Accelerator, listener: Listener) -> None:
        self.accelerator, self.listener = accelerator, listener

    def __getattribute__(self, name: str) -> Any:
        if name in ("begun", "arm_begun", "arm_skipped", "progress"):
            return getattr(self.listener, name)
        return super().__getattribute__(name)

    def recorded(self, record: dict[str, Any]) -> None:
        """Log a trace or a measurement at its step."""
        self.listener.recorded(record)
        values = values_of(record)
        for tracker in self.accelerator.trackers if values else []:
            # wandb has one step for everything, which must not fall: arms begin anew at 0
            tracker.log(values, step=None if tracker.name == "wandb" else record["step"])


def values_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Names and numbers of a record: loss and value of a trace, the value of a measurement with its depth."""
    if record["kind"] not in ("trace", "measurement"):
        return {}
    place = f"seed {record['seed']}/{record['arm']}" + (f" lr x {record['rate']:.2g}" if "rate" in record else "")
    if record["kind"] == "trace":
        return {f"{place}/loss": record["loss"], f"{place}/value": record["value"], f"{place}/step": record["step"]}
    return {f"{place}/{record['walk']}/value": record["value"], f"{place}/{record['walk']}/depth": record["depth"]}


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    """Settings as plain values under dotted names; what trackers cannot hold becomes text."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, bool | int | float | str) else str(value)
