"""The setup of a width probe: checked, measured without training and planned before anything is created."""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from depthprobe.analysis.tolerance import auto_tolerance
from depthprobe.analysis.within import check_reachable
from depthprobe.config import WidthConfig
from depthprobe.errors import ModelError
from depthprobe.inputs import Dataset, as_tokens
from depthprobe.probes.alone import Scale, Untrained, calibration, measure_untrained
from depthprobe.probes.bench import Arm, Bench, undisturbed
from depthprobe.probes.cost import Forecast
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.grow_setup import say_tolerance
from depthprobe.probes.outline import outline
from depthprobe.probes.own import Asked, Own, check_targets, open_own
from depthprobe.probes.profiles import choose_profile, uneven_widths
from depthprobe.probes.setup import (
    DataSource,
    check_course,
    check_outputs,
    check_same_data,
    choose_augment,
    other_model,
    split_by_rank,
)
from depthprobe.probes.shrink_setup import check_trained, choose_rate, choose_split, fine_tuning, say_split
from depthprobe.probes.trained import TrainedModel, open_trained
from depthprobe.probes.width_plan import WidthPlan, plan_width, with_widths
from depthprobe.runs import RunFolder
from depthprobe.schedules import Hold
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.metric_source import check_kept, check_tolerance

COURSE = 2  # of what is trained, and in which order: runs that another one began cannot be carried on


@dataclass(frozen=True, kw_only=True)
class WidthSetup:
    """Everything resolved and checked, nothing created yet. untrained: what narrower copies are worth before any
    training, on validation data; split_of: seed, fold and folds of the split.
    """

    model: TrainedModel
    data_source: DataSource
    data: Dataset
    bench: Bench[WidthPlan]
    config: WidthConfig
    tolerance_note: str
    tolerance_auto: bool
    forecast: Forecast
    notes: tuple[str, ...]
    own: Own
    lr_note: str
    untrained: Untrained
    split_of: Mapping[str, int]
    range_test: list[dict[str, list[float]]] = field(default_factory=list)
    budget_note: str | None = None
    setup_seconds: float = 0.0

    @property
    def scratch_rate(self) -> float | None:
        """The rate for a training from scratch: that of the checkpoint, or the one that fine-tuning has a share of."""
        lr, before = self.bench.train.lr, self.model.rate_for(self.bench.train.optimizer)
        return before or (None if lr is None else lr / self.config.lr_share)

    @property
    def seeds(self) -> list[int]:
        """The seeds, by rank."""
        return [self.config.seed + rank for rank in range(self.config.seeds)]

    @property
    def arms(self) -> list[Arm]:
        """All trainings in the order in which they run. One control: all seeds start from the same weights."""
        walks = [Arm(seed, rank, "width") for rank, seed in enumerate(self.seeds)]
        return [Arm(self.seeds[0], 0, "control"), *walks]

    def to_json(self) -> dict[str, Any]:
        """config.json: resolved, enough to run the same again."""
        return {
            "course": COURSE,
            "model": self.model.to_json(),
            "data": self.data_source.to_json(self.data),
            "train": self.bench.train.to_json(),
            "width": self.config.to_json(),
            "split": dict(self.split_of),
            "lr_note": self.lr_note,
            "lr_range_test": self.range_test,
            "tolerance_note": self.tolerance_note,
            "tolerance_auto": self.tolerance_auto,
            "setup_seconds": round(self.setup_seconds, 2),
            "profile": self.bench.plan.profile,
            "widths": {str(percent): dict(rows) for percent, rows in self.bench.plan.widths.items()},
            "untrained": self.untrained.to_json(),
            **self.own.to_json(),
        }


def set_up_width(
    model: TrainedModel,
    source: DataSource,
    config: WidthConfig,
    typed: Mapping[str, Any],
    *,
    asked: Asked | None = None,
    record: Mapping[str, Any] | None = None,
) -> WidthSetup:
    """Check everything, plan, measure without training. Raises UsageError; nothing is created.

    typed: training settings that were given; the others are those of the checkpoint, where it says them. record:
    config.json of the run that is resumed: rate and measurements are taken from there.
    """
    begun = time.monotonic()
    train, undrawn = fine_tuning(model, typed), model.say_undrawn(verify=config.verify)
    accelerator = open_device(train.device, train.precision, train.threads)
    data, split_of = as_tokens(source.open(), model.whole()), choose_split(model, config)
    split = split_by_rank(data, split_of["seed"], split_of["folds"])(split_of["fold"])
    example, network = split.train.x[:2], model.build()
    own = open_own(model, data, train, config.metric, asked or Asked(record=record))  # type: ignore[arg-type]
    check_tolerance(config.tolerance, own.metric)
    check_kept(config.limits, own.metric)
    if check_targets(network, example, data, own):
        check_outputs(network, example, data)
    augment = choose_augment(train, data, example)
    plan = plan_width(network, example, config, train, len(split.train))
    check_affordable(plan, config)
    batches = Batches(split.train, train.batch_size, 0, False, accelerator.device)
    scale = Scale(network, plan, split, batches, own.metric, accelerator.device, config.confidence)
    plan, untrained = _choose(scale, config) if record is None else _recall(scale, record)
    lr, lr_note, range_test = (
        (train.lr, str(record["lr_note"]), record["lr_range_test"])
        if record is not None
        else choose_rate(model, split, train, config.lr_share, typed, augment, accelerator, own)
    )
    train = replace(train, lr=lr, steps=plan.steps, augment=augment, threads=torch.get_num_threads())
    bench = Bench(
        build=lambda seed: model.build(),
        split=lambda rank: split,
        plan=plan,
        train=replace(train, device=accelerator.device.type),
        augment=own.augment(augment),
        accelerator=accelerator,
        own=own.functions,
        rates=own.rates,
        metric=own.metric,
    )
    check_trained(bench, untrained.whole, model.where)
    auto = auto_tolerance(len(split.valid), config.seeds, folds=False)
    automatic = config.tolerance is None
    tolerance = config.tolerance if config.tolerance is not None else round(auto.value, 4)
    config = replace(config, metric=own.metric.spec, tolerance=tolerance)
    return WidthSetup(
        model=model,
        data_source=source,
        data=data,
        bench=bench,
        config=config,
        tolerance_note=say_tolerance(config, auto, len(split.valid), 1, own.metric),
        tolerance_auto=automatic,
        forecast=forecast_width(plan, config.seeds),
        notes=own.notes + say_split(model, split_of, data) + undrawn,
        own=own,
        lr_note=lr_note,
        untrained=untrained,
        range_test=range_test,
        split_of=split_of,
        setup_seconds=time.monotonic() - begun,
    )


def check_affordable(plan: WidthPlan, config: WidthConfig) -> None:
    """Raise ConfigError where no width meets the limits that are known before training."""
    rows = [{"ratio": c.opened / 100, "params": c.params, "macs": c.macs} for c in plan.candidates]
    check_reachable(rows, config.limits)


def _choose(scale: Scale, config: WidthConfig) -> tuple[WidthPlan, Untrained]:
    """The plan with the widths that are worth more, and what was measured to find out. Random states are left."""
    plan, inputs = scale.plan, calibration(scale.split, scale.device)
    with undisturbed(scale.device):
        network = copy.deepcopy(scale.network).to(scale.device)
        widths, uneven = plan.widths, dict[str, float]()
        scale = replace(scale, network=network)
        equal = scale.measure_all(widths)
        profile = "equal"
        if config.profile != "equal":
            others = uneven_widths(network, plan.units, widths, inputs, config.round_to)
            uneven = scale.measure_all(others)
            size = 1.0 if scale.metric.known_scale else abs(scale.measure({})["value"])
            asked = config.profile == "uneven" and len(others) > 1
            profile = "uneven" if asked else choose_profile(equal, uneven, size)
            widths = others if profile == "uneven" else widths
        plan = with_widths(plan, network, widths, profile, inputs[:2])
        return plan, measure_untrained(replace(scale, plan=plan), equal, uneven)


def _recall(scale: Scale, record: Mapping[str, Any]) -> tuple[WidthPlan, Untrained]:
    """The same of a run that is resumed."""
    widths = {int(percent): rows for percent, rows in record["widths"].items()}
    plan = with_widths(scale.plan, scale.network, widths, record["profile"], scale.split.train.x[:2])
    return plan, Untrained(**record["untrained"])


def forecast_width(plan: WidthPlan, seeds: int) -> Forecast:
    """Updates of all arms, and their cost in trainings of the network as it is, by multiply-accumulates."""
    walk = sum(price_hold(plan, hold) for hold in plan.schedule(0).holds)
    updates = plan.schedule(0).steps + plan.cool * len(plan.candidates)
    return Forecast(seeds * updates + plan.updates, seeds * walk + plan.updates / plan.steps, None)


def price_hold(plan: WidthPlan, hold: Hold) -> float:
    """What a stair and its cooled branch cost, in trainings of the network as it is."""
    macs = next(candidate.macs for candidate in plan.candidates if candidate.opened == hold.opened)
    return (hold.length + plan.cool) / plan.steps * macs / max(1, plan.base.macs)


def create_width(setup: WidthSetup, out: Path | None) -> RunFolder:
    """The run folder of a new probe."""
    environment = describe_environment(str(setup.bench.accelerator.device))
    units = outline(setup.model.build(), setup.bench.split(0).train.x[:2])
    return RunFolder.create(out, "width", {**setup.to_json(), "units": units}, environment)


def reopen_width(folder: RunFolder) -> WidthSetup:
    """The setup of an interrupted run. Raises when the checkpoint, the model or the data are no longer the same."""
    record = folder.config
    check_course(folder, COURSE)
    saved = record["model"].get("checkpoint")
    if saved is None:
        raise ModelError(
            "the network was passed as a Python object and cannot be loaded by name",
            where=str(folder.path),
            hint="run dp.width again",
        )
    source = DataSource.from_json(record["data"])
    try:
        model, _ = open_trained(saved["path"], data=source, record=record["model"])
    except ModelError as error:
        raise other_model(folder, error) from error
    if model.weights is not None and model.weights.sha256 != saved["sha256"]:
        raise other_model(folder, ModelError("the checkpoint is another file now", found=saved["path"]))
    setup = set_up_width(model, source, WidthConfig.from_json(record["width"]), record["train"], record=record)
    check_same_data(folder, setup.data)
    return replace(
        setup,
        tolerance_note=record["tolerance_note"],
        tolerance_auto=record["tolerance_auto"],
        setup_seconds=record["setup_seconds"],
    )
