"""The user's own training: which functions are used, where they come from, and whether they work."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from depthprobe.config import GrowConfig, ShrinkConfig, TrainConfig, WidthConfig
from depthprobe.errors import ConfigError, DataError, ModelError, RunFolderError, TrainingError, UserCodeError
from depthprobe.inputs import Dataset, Split
from depthprobe.inputs.overrides import Overrides, check_function
from depthprobe.probes.setup import Source, check_outputs
from depthprobe.training.batches import Augment, Batches
from depthprobe.training.learner import Learner, predict
from depthprobe.training.metric_source import check_kept, check_tolerance, open_metric
from depthprobe.training.metrics import ACCURACY, PYTHON, Metric
from depthprobe.training.rates import Rates, make_rates

# Settings that mean the same thing as a function of the model's file: typed, they win over it.
SETTING_OF = {"optimizer": "optimizer", "augment": "augment", "schedule": "lr_shape"}
# Settings that would silently do nothing beside an optimizer of the user's.
MOOT = ("lr", "momentum", "weight_decay")
TRIAL_RATE = 0.001  # for trying out, where the rate is not chosen yet


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for. typed: training settings given by option, config file or keyword; functions, metric: passed
    from Python; record: config.json of the run that is resumed, which settles the rest.
    """

    typed: frozenset[str] = frozenset()
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    metric: Callable[..., Any] | None = None
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Own:
    """What is used: functions, the rates of their schedule, the metric. notes: what to say about them; origins: name ->
    the file, or "<python>".
    """

    functions: Overrides = field(default_factory=Overrides)
    rates: Rates = field(default_factory=Rates)
    metric: Metric = ACCURACY
    notes: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def augment(self, setting: bool) -> bool | Augment:
        """The user's augment, ready for `Batches`, or the setting."""
        if self.functions.augment is None:
            return setting
        return lambda x: self.functions.call("augment", x)

    def to_json(self) -> dict[str, Any]:
        """The parts of config.json that say what is the user's."""
        return {"own": dict(self.origins), "metric": self.metric.to_json()}


def open_own(model: Source, data: Dataset, train: TrainConfig, metric: str | None, asked: Asked) -> Own:
    """Choose between settings, functions of the model's file and functions from Python, the last going first.

    Raises ConfigError or ModelError; RunFolderError when a resumed run cannot have them again.
    """
    functions, notes = _choose(model, asked)
    origins = {name: PYTHON if name in asked.functions else str(functions.path) for name in functions.names}
    moot = [name for name in MOOT if name in asked.typed and getattr(train, name) is not None]  # lr: None is "auto"
    if functions.optimizer and moot:
        name = moot[0].replace("_", "-")
        raise ConfigError(
            f"--{name} has no effect on your own optimizer",
            where=f"optimizer in {short(origins['optimizer'])}",
            hint=f"set it inside optimizer(parameters), or type --optimizer {train.optimizer} to use the built-in one",
        )
    measured = open_metric(metric, classes=bool(data.classes), own=functions, function=asked.metric)
    if asked.record is not None and measured.sha256 != (asked.record.get("metric") or {}).get("sha256"):
        raise RunFolderError("the file of the metric has changed since the run began", where=measured.spec)
    by_origin: dict[str, list[str]] = {}
    for name, origin in origins.items():
        by_origin.setdefault(origin, []).append(name)
    notes = [f"from {short(origin)}: {', '.join(names)}" for origin, names in by_origin.items()] + notes
    if measured.sha256 or measured.spec == PYTHON:
        notes.append(f"metric {measured.name} from {short(measured.spec.rpartition(':')[0] or PYTHON)}")
    return Own(functions=functions, rates=make_rates(functions), metric=measured, notes=tuple(notes), origins=origins)


def open_checked(
    model: Source,
    data: Dataset,
    network: nn.Module,
    example: Tensor,
    config: GrowConfig | ShrinkConfig | WidthConfig,
    train: TrainConfig,
    asked: Asked,
) -> Own:
    """`open_own`, its metric checked against tolerance and limits, and the outputs of `network` against the targets."""
    own = open_own(model, data, train, config.metric, asked)
    check_tolerance(config.tolerance, own.metric)
    check_kept(config.limits, own.metric)
    if check_targets(network, example, data, own):
        check_outputs(network, example, data)
    return own


def _choose(model: Source, asked: Asked) -> tuple[Overrides, list[str]]:
    found = model.overrides()
    notes = list(found.notes)
    if asked.record is not None:
        used = asked.record.get("own") or {}
        if PYTHON in used.values():
            raise RunFolderError(
                "the run was made with functions passed from Python and cannot be resumed by name",
                found=", ".join(name for name, origin in used.items() if origin == PYTHON),
                hint="put them into the model's file, or run dp.grow again",
            )
        return found.only(frozenset(used)), notes
    for name in found.names:
        setting = SETTING_OF.get(name)
        if setting in asked.typed and name not in asked.functions:
            flag = f"--{setting.replace('_', '-')}"
            notes.append(f"{name} in {short(str(found.path))} is not used: {flag} was given")
            found = found.having({name: None})
    for name, function in asked.functions.items():
        check_function(name, function, None)
    found = found.having(asked.functions)
    if found.training_step and found.loss:
        notes.append("training_step stands in for the loss: loss is not used")
        found = found.having({"loss": None})
    return found, notes


def short(origin: str) -> str:
    """The file's name, or "Python"."""
    return "Python" if origin == PYTHON else origin.rpartition("/")[2]


def check_targets(network: nn.Module, example: Tensor, data: Dataset, own: Own) -> bool:
    """Whether the outputs have to be class scores; for floating-point targets of the default loss and the built-in
    metrics, shapes must agree. Raises ModelError.
    """
    functions, metric = own.functions, own.metric
    loss, measured = functions.loss or functions.training_step, metric.sha256 or metric.spec in (PYTHON, "neg_loss")
    if data.classes:
        return not (loss and measured)
    if metric.spec == "r2":
        _check_varies(data)
    outputs = predict(network, example, next(network.parameters()).device)
    target = data.train.y[: len(example)]
    if outputs.shape != target.shape and not (loss and measured):
        batch = tuple(str(n) for n in ("batch", *target.shape[1:]))
        given = tuple(str(n) for n in ("batch", *outputs.shape[1:]))
        raise ModelError(
            f"the model's output and the targets of {data.name} differ in shape",
            expected=f"({', '.join(batch)}), as the targets, which are floating-point: a regression",
            found=f"({', '.join(given)})",
            hint="y.reshape(-1, 1) for one output" if target.ndim == 1 and outputs.ndim == 2 and outputs.shape[1] == 1
            else "y.astype('int64') if the targets are classes",
        )  # fmt: skip
    return False


def _check_varies(data: Dataset) -> None:
    """R squared divides by the variance of every target. Raises DataError."""
    columns = data.train.y.reshape(len(data.train), -1)
    for rank in (columns.amax(0) == columns.amin(0)).nonzero().flatten().tolist():
        raise DataError(
            f"target column {rank} of {data.name} never varies: r2 is not defined",
            found=f"{float(columns[0, rank]):g} in all {len(columns):,} rows",
            hint="leave the column out, or --metric neg_mse --tolerance ...",
        )


def try_out(
    own: Own, networks: list[nn.Module], split: Split, batches: Batches, train: TrainConfig, accelerator: Accelerator
) -> None:
    """Call every function of the user's once on a real batch, on throw-away networks. Raises ModelError or ConfigError
    with the line that raised. train: its rate may be open.
    """
    train = train if train.lr is not None else replace(train, lr=TRIAL_RATE)
    with torch.random.fork_rng(devices=[accelerator.device] if accelerator.device.type == "cuda" else []):
        try:
            for net in networks if own.functions.names else []:
                _try_update(Learner(net, batches, train, accelerator, own.functions))
        except UserCodeError as error:
            raise _as_usage(error, ModelError) from error
        try:
            network = networks[0].to(accelerator.device)
            output = predict(network, split.valid.x[:256], accelerator.device)
            own.metric.value(output, split.valid.y[:256])
            if own.metric.sha256 or own.metric.spec == PYTHON:
                _try_metric(own.metric, predict(network, split.valid.x, accelerator.device), split)
        except UserCodeError as error:
            raise _as_usage(error, ConfigError) from error


def _try_update(learner: Learner) -> None:
    x, y = learner.batches.at(0)
    loss = learner.loss(x, y)
    name = "training_step" if learner.own.training_step else "loss"
    where = str(learner.own.path) if learner.own.path else None
    if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.ndim:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise UserCodeError(f"{name} does not give one number", where=where, expected="a scalar tensor", found=found)
    if not loss.requires_grad:
        raise UserCodeError(
            f"the result of {name} does not depend on the network's weights", where=where,
            expected="a tensor with a gradient", found="detached, or computed under no_grad",
        )  # fmt: skip
    if torch.isfinite(loss):
        learner.run(1, lambda step: 1.0)


def _try_metric(metric: Metric, output: Tensor, split: Split) -> None:
    with contextlib.suppress(TrainingError):  # an untrained network may well have no finite score
        metric.score(output, split.valid.y)


def _as_usage(error: UserCodeError, kind: type[ModelError] | type[ConfigError]) -> ModelError | ConfigError:
    return kind(error.what, where=error.where, expected=error.expected, found=error.found, hint=error.hint)
