"""The setup of a shrink probe: checked, ranked and planned before anything is created, and read back on resume."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from depthprobe.analysis.tolerance import auto_tolerance
from depthprobe.analysis.within import check_reachable
from depthprobe.config import ShrinkConfig, TrainConfig, WidthConfig
from depthprobe.errors import ModelError
from depthprobe.inputs import Dataset, Split, as_tokens
from depthprobe.probes.bench import Arm, Bench, Plan
from depthprobe.probes.conclusion import chance
from depthprobe.probes.cost import Forecast
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.grow_setup import say_tolerance
from depthprobe.probes.outline import outline
from depthprobe.probes.own import Asked, Own, check_targets, open_own
from depthprobe.probes.ranking import PROBED, Ranked, find_idle, rank_units
from depthprobe.probes.rate import find_rate
from depthprobe.probes.setup import (
    DataSource,
    check_course,
    check_outputs,
    check_same_data,
    choose_augment,
    other_model,
    split_by_rank,
)
from depthprobe.probes.shrink_cost import forecast_shrink, taught_macs
from depthprobe.probes.shrink_plan import ShrinkPlan, choose_units, plan_shrink
from depthprobe.probes.trained import TrainedModel, open_trained
from depthprobe.runs import RunFolder
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import predict
from depthprobe.training.metric_source import check_kept, check_tolerance
from depthprobe.training.teacher import Teacher, make_teacher

ABOVE_CHANCE = 3.0  # standard errors that a trained network has to be above guessing
REACH = 4.0  # tolerances that a network may lie below the best at its short look and still be worth a long branch
Records = Sequence[Mapping[str, Any]]
KEPT = ("optimizer", "momentum", "weight_decay", "clip", "batch_size", "augment", "precision", "steps")


COURSE = 4  # of what is trained, and in which order: runs that another one began cannot be carried on


@dataclass(frozen=True, kw_only=True)
class ShrinkSetup:
    """Everything resolved and checked, nothing created yet. ranking: of the units that may leave; whole: the metric of
    the checkpoint as it is, on validation data; split_of: seed, fold and folds of the split; ran: the arms so
    far, which depend on what was measured.
    """

    model: TrainedModel
    data_source: DataSource
    data: Dataset
    bench: Bench[ShrinkPlan]
    config: ShrinkConfig
    tolerance_note: str
    tolerance_auto: bool
    forecast: Forecast
    notes: tuple[str, ...]
    own: Own
    lr_note: str
    ranking: tuple[Ranked, ...]
    whole: float
    split_of: Mapping[str, int]
    range_test: list[dict[str, list[float]]] = field(default_factory=list)
    budget_note: str | None = None
    setup_seconds: float = 0.0
    ran: tuple[Arm, ...] = ()

    @property
    def scratch_rate(self) -> float | None:
        """The rate for a training from scratch: that of the checkpoint, or the one that fine-tuning has a share of."""
        lr, before = self.bench.train.lr, self.model.rate_for(self.bench.train.optimizer)
        return before or (None if lr is None else lr / self.config.lr_share)

    @property
    def lost(self) -> float:
        """The loss of the metric from which no recovery is expected."""
        least = self.config.beyond * (1.0 if self.bench.metric.known_scale else abs(self.whole))
        return max(least, REACH * (self.config.tolerance or 0.0))

    @property
    def seeds(self) -> list[int]:
        """The seeds, by rank."""
        return [self.config.seed + rank for rank in range(self.config.seeds)]

    @property
    def arms(self) -> list[Arm]:
        """The trainings that are known of, in the order in which they run."""
        return list(self.ran or (Arm(self.seeds[0], 0, "shrink"),))

    def to_json(self) -> dict[str, Any]:
        """config.json: resolved, enough to run the same again."""
        return {
            "course": COURSE,
            "model": self.model.to_json(),
            "data": self.data_source.to_json(self.data),
            "train": self.bench.train.to_json(),
            "shrink": self.config.to_json(),
            "split": dict(self.split_of),
            "lr_note": self.lr_note,
            "lr_range_test": self.range_test,
            "tolerance_note": self.tolerance_note,
            "tolerance_auto": self.tolerance_auto,
            "setup_seconds": round(self.setup_seconds, 2),
            "gates": list(self.bench.plan.gates),
            "idle": list(self.model.idle),
            "ranking": [row.to_json() for row in self.ranking],
            "whole": self.whole,
            **self.own.to_json(),
        }


def set_up_shrink(
    model: TrainedModel,
    source: DataSource,
    config: ShrinkConfig,
    typed: Mapping[str, Any],
    *,
    asked: Asked | None = None,
    record: Mapping[str, Any] | None = None,
) -> ShrinkSetup:
    """Check everything, rank the units, plan. Raises UsageError; nothing is created.

    typed: training settings that were given; the others are those of the checkpoint, where it says them. record:
    config.json of the run that is resumed: rate and ranking are taken from there.
    """
    begun = time.monotonic()
    train, undrawn = fine_tuning(model, typed), model.say_undrawn(verify=config.verify)
    accelerator = open_device(train.device, train.precision, train.threads)
    data = as_tokens(source.open(), model.whole())
    split_of = choose_split(model, config)
    split = split_by_rank(data, split_of["seed"], split_of["folds"])(split_of["fold"])
    example = split.train.x[:2]
    network = model.whole()
    _check_weights(network)
    own = open_own(model, data, train, config.metric, asked or Asked(record=record))  # type: ignore[arg-type]
    check_tolerance(config.tolerance, own.metric)
    check_kept(config.limits, own.metric)
    if check_targets(network, example, data, own):
        check_outputs(network, example, data)
    augment = choose_augment(train, data, example)
    batches = Batches(split.train, train.batch_size, 0, own.augment(augment), accelerator.device)
    idle = find_units_idle(network, split, config) if record is None else tuple(record["idle"])
    model = replace(model, idle=idle)
    network = model.build()
    if record is None:
        names = [unit.name for unit in choose_units(network, example, config, idle)]
        ranked, whole = rank_units(network, names, split, batches, own.metric, accelerator.device)
    else:
        ranked, whole = [Ranked(**row) for row in record["ranking"]], float(record["whole"])
    plan = plan_shrink(network, example, ranked, config, train, len(split.train))
    check_reachable([asdict(candidate) for candidate in plan.candidates], config.limits)
    lr, lr_note, range_test = (
        (train.lr, str(record["lr_note"]), record["lr_range_test"])
        if record is not None
        else choose_rate(model, split, train, config.lr_share, typed, augment, accelerator, own)
    )
    train = replace(train, lr=lr, steps=plan.steps, augment=augment, threads=torch.get_num_threads())
    train = replace(train, device=accelerator.device.type)
    bench = Bench(
        build=lambda seed: model.build(),
        split=lambda rank: split,
        plan=plan,
        train=train,
        augment=own.augment(augment),
        accelerator=accelerator,
        own=own.functions,
        rates=own.rates,
        metric=own.metric,
        teacher=choose_teacher(network.to(accelerator.device), batches, config, own, len(data.classes)),
    )
    check_trained(bench, whole, model.where)
    auto = auto_tolerance(len(split.valid), config.seeds, folds=False)
    automatic = config.tolerance is None
    config = replace(config, metric=own.metric.spec)
    config = replace(config, tolerance=config.tolerance if config.tolerance is not None else round(auto.value, 4))
    return ShrinkSetup(
        model=model,
        data_source=source,
        data=data,
        bench=bench,
        config=config,
        tolerance_note=say_tolerance(config, auto, len(split.valid), 1, own.metric),
        tolerance_auto=automatic,
        forecast=forecast_shrink(plan, config.seeds, taught_macs(bench)),
        notes=own.notes + say_split(model, split_of, data) + undrawn,
        own=own,
        lr_note=lr_note,
        range_test=range_test,
        ranking=tuple(ranked),
        whole=whole,
        split_of=split_of,
        setup_seconds=time.monotonic() - begun,
    )


def choose_teacher(
    network: nn.Module, batches: Batches, config: ShrinkConfig, own: Own, classes: int
) -> Teacher | None:
    """The whole network as a teacher, where its outputs can be learned: not in a training step of the user's, nor, for
    numbers (no classes), beside a loss of the user's, whose scale nobody knows.
    """
    functions = own.functions
    if config.distill == 0.0 or functions.training_step or (functions.loss and not classes):
        return None
    if classes and predict(network, batches.x[:2], batches.device).shape[1:2] < (classes,):
        return None  # no logits of the classes
    return make_teacher(network, batches.x, config.distill, classes=classes > 0)


def find_units_idle(network: nn.Module, split: Split, config: ShrinkConfig) -> tuple[str, ...]:
    """Names of the units that may leave and change nothing."""
    names = [unit.name for unit in choose_units(network, split.train.x[:2], config)]
    return tuple(find_idle(network, names, split.valid.x[:PROBED]))


def fine_tuning(model: TrainedModel, typed: Mapping[str, Any]) -> TrainConfig:
    """The training settings: as typed, else those that the checkpoint was trained with; the rate stays open."""
    before = model.trained.get("train") or {}
    kept = {name: before[name] for name in KEPT if before.get(name) is not None}
    return TrainConfig.from_json({**kept, **typed})


def choose_split(model: TrainedModel, config: ShrinkConfig | WidthConfig) -> dict[str, int]:
    """Seed, fold and folds: the split of the checkpoint's own training, so that what it saw is not validation data."""
    before = model.trained.get("split") or {"seed": model.trained.get("split_seed", 0), "fold": 0, "folds": 1}
    if config.split_seed is None or config.split_seed == before["seed"]:
        return {name: int(before[name]) for name in ("seed", "fold", "folds")}
    return {"seed": config.split_seed, "fold": 0, "folds": 1}


def say_split(model: TrainedModel, split_of: Mapping[str, int], data: Dataset) -> tuple[str, ...]:
    """Whether the checkpoint may have been trained on the validation examples."""
    seen = model.trained.get("split") or {"seed": model.trained.get("split_seed"), "fold": 0, "folds": 1}
    if "split_seed" in model.trained:
        same = (model.trained.get("data") or {}).get("fingerprint") == data.fingerprint and dict(seen) == dict(split_of)
        other = "the checkpoint was trained on other data or another split: it may have seen the validation examples"
        return () if same else (other,)
    return (
        "the checkpoint does not say what it was trained on: it may have seen the validation examples",
        "nor how its inputs were scaled: here each channel has mean 0 and standard deviation 1; if it begins worse "
        "than you know it, train it on such inputs",
    )


def choose_rate(
    model: TrainedModel,
    split: Split,
    train: TrainConfig,
    share: float,
    typed: Mapping[str, Any],
    augment: bool,
    accelerator: Any,
    own: Own,
) -> tuple[float | None, str, list[dict[str, list[float]]]]:
    """(rate of fine-tuning, how it came about, curves of the range test): a share of the rate of training."""
    before = model.rate_for(train.optimizer)
    if own.functions.optimizer or typed.get("lr") is not None:
        choice = find_rate(model.source.build, split.train, train, augment=augment, accelerator=accelerator, own=own)
        return choice.lr, choice.note, []
    if before is not None:
        return share * before, f"fine-tuning at {share:g} x the rate of training, {before:g}", []
    choice = find_rate(
        lambda seed: model.fresh((), seed), split.train, train, augment=augment, accelerator=accelerator, own=own
    )
    lr = None if choice.lr is None else share * choice.lr
    return lr, f"fine-tuning at {share:g} x the rate for training: {choice.note}", choice.to_json()


def check_trained(bench: Bench[Plan], whole: float, where: str) -> None:
    """A network at chance has nothing to keep. Raises ModelError."""
    floor = chance(bench, 0)
    if floor is None:
        return
    examples = len(bench.split(0).valid)
    slack = ABOVE_CHANCE * (floor * (1 - floor) / examples) ** 0.5 if bench.metric.fraction else 0.0
    if whole <= floor + slack:
        raise ModelError(
            "the network is not trained: it is no better than guessing",
            where=where,
            expected=f"{bench.metric.name} clearly above {floor:.3f} on {examples} validation examples",
            found=f"{whole:.3f}",
            hint="depthprobe train MODEL --dataset ... makes a checkpoint",
        )


def create_shrink(setup: ShrinkSetup, out: Path | None) -> RunFolder:
    """The run folder of a new probe."""
    environment = describe_environment(str(setup.bench.accelerator.device))
    units = outline(setup.model.whole(), setup.bench.split(0).train.x[:2])
    return RunFolder.create(out, "shrink", {**setup.to_json(), "units": units}, environment)


def reopen_shrink(folder: RunFolder) -> ShrinkSetup:
    """The setup of an interrupted run. Raises when the checkpoint, the model or the data are no longer the same."""
    record = folder.config
    check_course(folder, COURSE)
    saved = record["model"].get("checkpoint")
    if saved is None:
        raise ModelError(
            "the network was passed as a Python object and cannot be loaded by name",
            where=str(folder.path),
            hint="run dp.shrink again",
        )
    try:
        model, _ = open_trained(saved["path"], data=DataSource.from_json(record["data"]), record=record["model"])
    except ModelError as error:
        raise other_model(folder, error) from error
    if model.weights is not None and model.weights.sha256 != saved["sha256"]:
        raise other_model(folder, ModelError("the checkpoint is another file now", found=saved["path"]))
    source = DataSource.from_json(record["data"])
    setup = set_up_shrink(model, source, ShrinkConfig.from_json(record["shrink"]), record["train"], record=record)
    check_same_data(folder, setup.data)
    return replace(
        setup,
        tolerance_note=record["tolerance_note"],
        tolerance_auto=record["tolerance_auto"],
        setup_seconds=record["setup_seconds"],
    )


def _check_weights(network: nn.Module) -> None:
    """Raise ModelError for weights that no training went into yet, and for those too coarse to be trained on."""
    for name, parameter in network.named_parameters():
        if is_lazy(parameter):
            raise ModelError(
                "the network has no weights yet: it is not a trained one", where=name, found="a lazy module",
                expected="weights", hint="model(example_inputs) gives them a shape; train it, then dp.shrink",
            )  # fmt: skip
        if parameter.dtype in (torch.float16, torch.bfloat16):
            raise ModelError(
                "weights in half precision are too coarse to be trained on", where=name, found=str(parameter.dtype),
                expected="torch.float32", hint="dp.shrink(model.float(), ..., precision='bf16') mixes precisions",
            )  # fmt: skip
