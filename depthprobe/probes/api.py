"""dp.grow, dp.shrink, dp.width: the probes from Python."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from depthprobe.config import GrowConfig, ShrinkConfig, TrainConfig, WidthConfig, unknown_key
from depthprobe.errors import ConfigError, ProcessError
from depthprobe.inputs import Dataset, InMemoryModel, as_dataset, as_tokens, open_model
from depthprobe.inputs.memory_model import check_network
from depthprobe.inputs.overrides import NAMES
from depthprobe.probes.bench import undisturbed
from depthprobe.probes.crew import check_means
from depthprobe.probes.grow import Setup, create_run, run_grow, set_up
from depthprobe.probes.listener import Listener
from depthprobe.probes.own import Asked
from depthprobe.probes.result import Result
from depthprobe.probes.setup import IN_MEMORY, DataSource
from depthprobe.probes.shrink import ShrinkSetup, create_shrink, run_shrink, set_up_shrink
from depthprobe.probes.together import check_same, follow, lead, open_team, telling
from depthprobe.probes.tracking import tracked
from depthprobe.probes.trained import TrainedModel, open_trained
from depthprobe.probes.width import WidthSetup, create_width, run_width, set_up_width
from depthprobe.runs import RunFolder
from depthprobe.training.metrics import PYTHON
from depthprobe.training.team import Team


def grow(
    model: nn.Module | str,
    data: str | Dataset | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    limit_train: int | None = None,
    image_size: int | None = None,
    checkpoint: str | Path | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """Would more depth pay? Runs a grow probe and returns its Result; the model is left as found.

    model: a module (its weights are drawn anew for every seed) or a source such as "file.py:name". data: a name
    or path as on the command line, or {"train", "valid", "test"} ("valid", "test" optional) of torch data sets,
    DataLoaders (their data sets are used; batches and their order are the probe's own) or (x, y) pairs, x (N, ...)
    float, y (N,) int for classes, (N,) or (N, K) float for numbers. out: the run folder, which must not exist (None: a
    temporary one that lives as long as the result; `result.save(folder)` keeps it).
    data_dir: where local copies of the data lie, nothing is downloaded then; limit_train: at most so many training
    examples; image_size: side in pixels that images are scaled to; checkpoint: a file of weights that every seed starts
    from; listener: hears of every event.
    settings: fields of GrowConfig and TrainConfig, e.g. seeds=3, steps=1500, lr=0.02 (None: a range test chooses),
    sensitivity=True, time_budget=600.0 (seconds); and your own training, functions that win over those of the model's
    file: loss(output, target), optimizer(parameters), schedule(done), augment(x), training_step(model, batch),
    metric(output, target), the last a built-in name or "file.py:name" as well. Raises UsageError for bad input,
    TrainingError when every seed failed.
    """
    asked = sort_settings(settings, {"grow": GrowConfig, "train": TrainConfig})
    source = _source(data, data_dir, limit_train, image_size)

    def set_up_grow() -> Setup:
        return set_up(
            open_model(model, checkpoint=Path(checkpoint) if checkpoint is not None else None),
            source,
            GrowConfig.from_json(asked.sections["grow"]),
            TrainConfig.from_json(asked.sections["train"]),
            fixed=frozenset(asked.sections["grow"]),
            asked=asked.training,
        )

    return _run(set_up_grow, create_run, run_grow, out, listener or Listener())


def shrink(
    model: nn.Module | str | Path,
    data: str | Dataset | Mapping[str, Any] | None = None,
    *,
    source: str | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    limit_train: int | None = None,
    image_size: int | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """Which units of a trained network can go? Runs a shrink probe and returns its Result; the model is left as found.

    model: a trained module, or the path of a checkpoint: a model.pt of depthprobe, which needs nothing else, or a state
    dict together with `source`, the model as on the command line. data: as for `grow`. settings: fields of ShrinkConfig
    and TrainConfig and your own functions, as for `grow`. Raises UsageError for bad input, TrainingError when every
    seed failed.
    """
    asked = sort_settings(settings, {"shrink": ShrinkConfig, "train": TrainConfig})
    given = _given(data, data_dir, limit_train, image_size)

    def set_up_probe() -> ShrinkSetup:
        trained, found = _trained(model, source, given, data_dir)
        config = ShrinkConfig.from_json(asked.sections["shrink"])
        return set_up_shrink(trained, found, config, asked.sections["train"], asked=asked.training)

    return _run(set_up_probe, create_shrink, run_shrink, out, listener or Listener())


def width(
    model: nn.Module | str | Path,
    data: str | Dataset | Mapping[str, Any] | None = None,
    *,
    source: str | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    limit_train: int | None = None,
    image_size: int | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """How narrow may the units of a trained network be? Runs a width probe and returns its Result; the model is left as
    found.

    model, data, source: as for `shrink`. settings: fields of WidthConfig (ratios=(0.75, 0.5), round_to=8, ...) and
    TrainConfig and your own functions, as for `grow`. Raises UsageError for bad input, TrainingError when every seed
    failed. Needs torch-pruning (the extra `width`).
    """
    asked = sort_settings(settings, {"width": WidthConfig, "train": TrainConfig})
    given = _given(data, data_dir, limit_train, image_size)

    def set_up_probe() -> WidthSetup:
        trained, found = _trained(model, source, given, data_dir)
        config = WidthConfig.from_json(asked.sections["width"])
        return set_up_width(trained, found, config, asked.sections["train"], asked=asked.training)

    return _run(set_up_probe, create_width, run_width, out, listener or Listener())


def _given(
    data: str | Dataset | Mapping[str, Any] | None,
    data_dir: str | Path | None,
    limit_train: int | None,
    image_size: int | None,
) -> DataSource | None:
    if data is not None:
        return _source(data, data_dir, limit_train, image_size)
    if limit_train is not None or image_size is not None:
        raise ConfigError(
            "the checkpoint brings its own data, as it was trained on", where="limit_train, image_size",
            expected="data beside them", hint="leave them out, or give the data",
        )  # fmt: skip
    return None


def _trained(
    model: nn.Module | str | Path, source: str | None, given: DataSource | None, data_dir: str | Path | None
) -> tuple[TrainedModel, DataSource]:
    if not isinstance(model, nn.Module):
        return open_trained(model, source, data=given, data_dir=Path(data_dir) if data_dir else None)
    if given is None:
        raise ConfigError(
            "no data were given", where="dp.shrink(model, data)", expected="a name or the data themselves"
        )
    check_network(model, "<python>")
    example = as_tokens(given.open(), model).train.x[:2]
    return TrainedModel(source=InMemoryModel(model), example=example.to(next(model.parameters()).device)), given


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Keyword arguments of a probe, sorted. sections: name of a config -> its settings; training: the user's own."""

    sections: dict[str, dict[str, Any]]
    training: Asked


def sort_settings(settings: dict[str, Any], kinds: Mapping[str, type]) -> Settings:
    """Sort keyword arguments into the configs of `kinds` and the user's functions. Raises ConfigError for others."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    names = {name: {f.name for f in fields(kind)} for name, kind in kinds.items()}
    functions = {name: settings.pop(name) for name in NAMES if callable(settings.get(name))}
    metric = settings.pop("metric") if callable(settings.get("metric")) else None
    if metric is not None:
        settings["metric"] = PYTHON
    for name in ("loss", "schedule", "training_step"):
        if settings.pop(name, None) is not None:
            raise ConfigError(f"{name} is not a function", where=f"{name}=...", expected="a function, or None")
    for key, value in settings.items():
        home = next((section for section, known in names.items() if key in known), None)
        if home is None:
            raise unknown_key(key, set().union(*names.values()))
        sections[home][key] = value
    asked = Asked(typed=frozenset(sections["train"]), functions=functions, metric=metric)
    return Settings(sections=sections, training=asked)


class Described(Protocol):
    """A setup that says what config.json will say."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""


def _source(
    data: str | Dataset | Mapping[str, Any],
    data_dir: str | Path | None,
    limit_train: int | None,
    image_size: int | None,
) -> DataSource:
    return DataSource(
        spec=data if isinstance(data, str) else IN_MEMORY,
        data_dir=str(data_dir) if data_dir else None,
        limit_train=limit_train,
        image_size=image_size,
        memory=None if isinstance(data, str) else as_dataset(data),
    )


S = TypeVar("S", bound=Described)


def _run(
    set_up_probe: Callable[[], S],
    create: Callable[[S, Path | None], RunFolder],
    run: Callable[[S, RunFolder, Listener], Result],
    out: str | Path | None,
    listener: Listener,
) -> Result:
    """Set up, run in `out` or in a temporary folder that lives as long as the result; random states and the number of
    threads are left as found.
    """
    threads, team = torch.get_num_threads(), open_team()
    try:
        with undisturbed(torch.device("cuda" if torch.cuda.is_available() else "cpu")):
            if not team.first:
                return _follow(team, set_up_probe, run)
            with telling(team):
                setup = set_up_probe()
                check_means(setup, team)
            scratch = None if out is not None else tempfile.mkdtemp(prefix="depthprobe-")
            try:
                place = Path(out) if out is not None else Path(str(scratch)) / "run"
                joined, folder = lead(team, lambda: (setup, create(setup, place)))
                with folder, tracked(joined, folder.path, folder.config, listener) as hearing:
                    result = run(joined, folder, hearing)
            except BaseException:
                if scratch is not None:
                    shutil.rmtree(scratch, ignore_errors=True)
                raise
    finally:
        torch.set_num_threads(threads)
    if scratch is not None:
        weakref.finalize(result, shutil.rmtree, scratch, ignore_errors=True)
    return result


def _follow(team: Team, set_up_probe: Callable[[], S], run: Callable[[S, RunFolder, Listener], Result]) -> Result:
    """In all but the first of several processes: the same choices from the same objects, then the same training."""

    def set_up_alike(_: RunFolder, config: dict[str, Any]) -> S:
        setup = set_up_probe()
        check_same(setup.to_json(), config)
        return setup

    followed = follow(team, set_up_alike)
    if followed is None:
        raise ProcessError("the first process had nothing to do")
    return run(*followed, Listener())
