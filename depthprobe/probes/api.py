"""dp.grow: the probe from Python."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.config import GrowConfig, TrainConfig, unknown_key
from depthprobe.errors import ConfigError
from depthprobe.inputs import Dataset, as_dataset, open_model
from depthprobe.inputs.overrides import NAMES
from depthprobe.probes.bench import undisturbed
from depthprobe.probes.grow import create_run, run_grow, set_up
from depthprobe.probes.listener import Listener
from depthprobe.probes.own import Asked
from depthprobe.probes.result import Result
from depthprobe.probes.setup import DataSource, Source
from depthprobe.training.metrics import PYTHON


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
    or path as on the command line, or {"train", "valid", "test"} ("valid", "test" optional) of torch data sets
    or (x, y) pairs, x (N, ...) float, y (N,) int for classes, (N,) or (N, K) float for numbers. out: the run folder,
    which must not exist (None: a temporary one that lives as long as the result; `result.save(folder)` keeps it).
    checkpoint: a file of weights that every seed starts from.
    settings: fields of GrowConfig and TrainConfig, e.g. seeds=3, steps=1500, lr=0.02 (None: a range test chooses),
    sensitivity=True, time_budget=600.0 (seconds); and your own training, functions that win over those of the model's
    file: loss(output, target), optimizer(parameters), schedule(done), augment(x), training_step(model, batch),
    metric(output, target), the last a built-in name or "file.py:name" as well. Raises UsageError for bad input,
    TrainingError when every seed failed.
    """
    sections: dict[str, dict[str, Any]] = {"grow": {}, "train": {}}
    names = {"grow": {f.name for f in fields(GrowConfig)}, "train": {f.name for f in fields(TrainConfig)}}
    functions = {name: settings.pop(name) for name in NAMES if callable(settings.get(name))}
    metric = settings.pop("metric") if callable(settings.get("metric")) else None
    if metric is not None:
        settings["metric"] = PYTHON
    for name in ("loss", "schedule", "training_step"):
        if settings.pop(name, None) is not None:
            raise ConfigError(f"{name} is not a function", where=f"dp.grow({name}=...)", expected="a function, or None")
    for key, value in settings.items():
        home = next((section for section, known in names.items() if key in known), None)
        if home is None:
            raise unknown_key(key, names["grow"] | names["train"])
        sections[home][key] = value
    given = data if isinstance(data, str) else "<python>"
    source = DataSource(
        spec=given,
        data_dir=str(data_dir) if data_dir else None,
        limit_train=limit_train,
        image_size=image_size,
        memory=None if isinstance(data, str) else as_dataset(data),
    )
    threads = torch.get_num_threads()
    try:
        with undisturbed(torch.device("cuda" if torch.cuda.is_available() else "cpu")):
            asked = Asked(typed=frozenset(sections["train"]), functions=functions, metric=metric)
            opened = open_model(model, checkpoint=Path(checkpoint) if checkpoint is not None else None)
            return _run(opened, source, sections, asked, out, listener or Listener())
    finally:
        torch.set_num_threads(threads)


def _run(
    model: Source,
    source: DataSource,
    sections: Mapping[str, Mapping[str, Any]],
    asked: Asked,
    out: str | Path | None,
    listener: Listener,
) -> Result:
    setup = set_up(
        model,
        source,
        GrowConfig.from_json(sections["grow"]),
        TrainConfig.from_json(sections["train"]),
        fixed=frozenset(sections["grow"]),
        asked=asked,
    )
    scratch = None if out is not None else tempfile.mkdtemp(prefix="depthprobe-")
    try:
        place = Path(out) if out is not None else Path(str(scratch)) / "run"
        with create_run(setup, place) as folder:
            result = run_grow(setup, folder, listener)
    except BaseException:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    if scratch is not None:
        weakref.finalize(result, shutil.rmtree, scratch, ignore_errors=True)
    return result
