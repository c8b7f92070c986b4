"""The setup of a grow probe: everything resolved and checked before anything is created, and read back on resume."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from depthprobe.analysis.tolerance import Tolerance, auto_tolerance
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ModelError
from depthprobe.inputs import Dataset, ModelSource, is_small
from depthprobe.probes.arms import Arm, Bench
from depthprobe.probes.cost import Forecast, forecast, time_steps
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.own import Asked, Own, check_targets, open_own, try_out
from depthprobe.probes.plan import grown, plan_grow
from depthprobe.probes.setup import (
    DataSource,
    Source,
    check_outputs,
    check_same_data,
    choose_augment,
    other_model,
    split_by_rank,
)
from depthprobe.runs import RunFolder
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.metric_source import check_tolerance
from depthprobe.training.metrics import Metric


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything resolved and checked, nothing created yet."""

    model: Source
    data_source: DataSource
    data: Dataset
    bench: Bench
    config: GrowConfig
    tolerance_note: str
    forecast: Forecast
    notes: tuple[str, ...]
    own: Own = field(default_factory=Own)

    @property
    def arms(self) -> list[Arm]:
        """All trainings in the order in which they run."""
        return [
            Arm(self.config.seed + rank, rank, kind)
            for rank in range(self.config.seeds)
            for kind in ("grow", "control")
        ]

    def to_json(self) -> dict[str, Any]:
        """config.json: resolved, enough to run the same again."""
        return {
            "model": self.model.to_json(),
            "data": self.data_source.to_json(self.data),
            "train": self.bench.train.to_json(),
            "grow": self.config.to_json(),
            "tolerance_note": self.tolerance_note,
            "gates": list(self.bench.plan.gates),
            **self.own.to_json(),
        }


def set_up(
    model: Source,
    source: DataSource,
    config: GrowConfig,
    train: TrainConfig,
    *,
    timed: bool = True,
    asked: Asked | None = None,
) -> Setup:
    """Check everything that can be checked before training, choose what is left open, forecast the cost.

    asked: what else was asked of the training. Raises UsageError of some kind; nothing is created.
    """
    accelerator = open_device(train.device, train.precision, train.threads)
    data = source.open()
    folds = config.seeds if is_small(data) and data.valid is None else 1
    split = split_by_rank(data, config.split_seed, folds)
    first = split(0)
    network = model.build(config.seed)
    example = first.train.x[:2]
    plan = plan_grow(network, example, config, train, len(first.train))
    own = open_own(model, data, train, config.metric, asked or Asked())
    check_tolerance(config.tolerance, own.metric)
    if check_targets(network, example, data, own):
        check_outputs(network, example, data)
    fresh = len({split(rank).valid_id for rank in range(config.seeds)}) / config.seeds if folds > 1 else 1.0
    tolerance = auto_tolerance(max(1, round(len(first.valid) * fresh)), config.seeds, folds=folds > 1)
    augment = choose_augment(train, data, example)
    train = replace(train, steps=plan.steps, augment=augment, threads=torch.get_num_threads())
    train = replace(train, device=accelerator.device.type)
    bench = Bench(
        build=model.build,
        split=split,
        plan=plan,
        train=train,
        augment=own.augment(augment),
        accelerator=accelerator,
        own=own.functions,
        rates=own.rates,
        metric=own.metric,
    )
    batches = Batches(first.train, train.batch_size, 0, bench.augment, accelerator.device)
    if timed:
        networks = [model.build(config.seed), grown(model.build(config.seed), plan.edits, example, 0)]
        try_out(own, networks, first, batches, train, accelerator)
    seconds = time_steps(model.build(config.seed), plan, batches, train, accelerator, own.functions) if timed else None
    config = replace(config, metric=own.metric.spec)
    config = replace(config, tolerance=config.tolerance if config.tolerance is not None else round(tolerance.value, 4))
    return Setup(
        model=model,
        data_source=source,
        data=data,
        bench=bench,
        config=config,
        tolerance_note=_tolerance_note(config, tolerance, len(first.valid), folds, own.metric),
        forecast=forecast(plan, config.seeds, seconds, valid=len(first.valid), batch_size=train.batch_size),
        notes=own.notes + _same_weights(model, config),
        own=own,
    )


def _same_weights(model: Source, config: GrowConfig) -> tuple[str, ...]:
    if config.seeds < 2:
        return ("one seed: no interval over seeds",)
    one, two = (list(model.build(config.seed + rank).parameters()) for rank in range(2))
    if all(torch.equal(a, b) for a, b in zip(one, two, strict=True)):
        return ("the model file draws the same weights for every seed (does it call torch.manual_seed?)",)
    return ()


def _tolerance_note(config: GrowConfig, auto: Tolerance, examples: int, folds: int, metric: Metric) -> str:
    if not metric.known_scale:
        return f"tolerance {config.tolerance:g} of {metric.name} (as asked)"
    per = f"{examples} validation examples{' per seed' if folds > 1 else ''} and {config.seeds} seeds"
    if config.tolerance is not None and abs(config.tolerance - round(auto.value, 4)) > 1e-9:
        reach = auto.resolvable
        finer = "" if reach <= config.tolerance else f"; {per} resolve about {reach:.4f} only"
        return f"tolerance {config.tolerance:.4f} (as asked){finer}"
    if auto.value <= auto.target:
        return f"tolerance {auto.value:.4f}: {per} can resolve it"
    needed, seeds = auto.both_needed or (examples, config.seeds)
    return (
        f"tolerance {auto.value:.4f}: the smallest step that {per} can be expected to resolve; "
        f"{auto.target:g} would take about {seeds} seeds with {needed} examples{' each' if folds > 1 else ''}"
    )


def create_run(setup: Setup, out: Path | None) -> RunFolder:
    """The run folder of a new probe."""
    environment = describe_environment(str(setup.bench.accelerator.device))
    return RunFolder.create(out, "grow", setup.to_json(), environment)


def reopen(folder: RunFolder) -> Setup:
    """The setup of an interrupted run. Raises when the model or the data are no longer the same."""
    config: Mapping[str, Any] = folder.config
    source = DataSource.from_json(config["data"])
    try:
        setup = set_up(
            ModelSource.from_json(config["model"]),
            source,
            GrowConfig.from_json(config["grow"]),
            TrainConfig.from_json(config["train"]),
            timed=False,
            asked=Asked(record=config),
        )
    except ModelError as error:
        raise other_model(folder, error) from error
    check_same_data(folder, setup.data)
    return replace(setup, tolerance_note=config["tolerance_note"])
