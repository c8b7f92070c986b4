"""The setup of a grow probe: everything resolved and checked before anything is created, and read back on resume."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.analysis.tolerance import Tolerance, auto_tolerance
from depthprobe.analysis.within import check_reachable
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ModelError, RunFolderError
from depthprobe.inputs import Dataset, InMemoryModel, ModelSource, as_tokens, fit_to_data, is_small
from depthprobe.inputs.memory_model import name_some, undrawn
from depthprobe.probes.bench import Arm, Bench
from depthprobe.probes.budget import Fit, Size, fit, resized, say_fit, thin
from depthprobe.probes.cost import Forecast, Prices, forecast
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.outline import outline
from depthprobe.probes.own import Asked, Own, open_checked, try_out
from depthprobe.probes.plan import GrowPlan, grown, plan_grow
from depthprobe.probes.rate import RateChoice, find_rate
from depthprobe.probes.sensitivity import probe_arms
from depthprobe.probes.setup import (
    DataSource,
    Source,
    check_course,
    check_same_data,
    choose_augment,
    other_model,
    split_by_rank,
)
from depthprobe.probes.timing import SECONDS, time_probe
from depthprobe.probes.tolerance import fix_tolerance, say_tolerance
from depthprobe.runs import RunFolder
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device

COURSE = 2  # of what is measured, where a network has BatchNorm and batches are augmented


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything resolved and checked, nothing created yet. setup_seconds: what that took. folds:
    seeds take turns with so many parts of the data for validation.
    tolerance_auto: nobody asked for the tolerance, a coarser one may be decided on where the data resolve no better.
    """

    model: Source
    data_source: DataSource
    data: Dataset
    bench: Bench[GrowPlan]
    config: GrowConfig
    tolerance_note: str
    forecast: Forecast
    notes: tuple[str, ...]
    own: Own = field(default_factory=Own)
    lr_note: str
    range_test: list[dict[str, list[float]]]
    budget_note: str | None = None
    setup_seconds: float = 0.0
    tolerance_auto: bool = False
    folds: int = 1

    @property
    def seeds(self) -> list[int]:
        """The seeds, by rank."""
        return [self.config.seed + rank for rank in range(self.config.seeds)]

    @property
    def arms(self) -> list[Arm]:
        """All trainings in the order in which they run."""
        return probe_arms(self.seeds, sensitivity=self.config.sensitivity)

    def to_json(self) -> dict[str, Any]:
        """config.json: resolved, enough to run the same again.

        lr_note: how the rate came about; lr_range_test: the curves of the range test, one per sweep.
        """
        return {
            "course": COURSE,
            "model": self.model.to_json(),
            "data": self.data_source.to_json(self.data),
            "train": self.bench.train.to_json(),
            "grow": self.config.to_json(),
            "lr_note": self.lr_note,
            "lr_range_test": self.range_test,
            "tolerance_note": self.tolerance_note,
            "tolerance_auto": self.tolerance_auto,
            "budget_note": self.budget_note,
            "setup_seconds": round(self.setup_seconds, 2),
            "forecast_seconds": None if self.forecast.seconds is None else round(self.forecast.seconds, 2),
            "gates": list(self.bench.plan.gates),
            **self.own.to_json(),
        }


def set_up(
    model: Source,
    source: DataSource,
    config: GrowConfig,
    train: TrainConfig,
    *,
    fixed: Collection[str] = (),
    timed: bool = True,
    asked: Asked | None = None,
) -> Setup:
    """Check everything that can be checked before training, choose what is left open, forecast the cost.

    fixed: names of the settings that the user gave, which a time budget leaves alone; timed: False goes by what
    `config` and `train` say (resume); asked: what else was asked of the training. In this order: data, plan and the
    user's functions, which are tried out; the rate; the prices; the budget. Raises UsageError of some kind; nothing is
    created.
    """
    begun = time.monotonic()
    accelerator = open_device(train.device, train.precision, train.threads)
    data = source.open()
    model, fitted = fit_to_data(model, data)
    network = model.build(config.seed)
    data = as_tokens(data, network)
    asked = asked or Asked()
    draft = _draft(model, data, network, config, train, accelerator, partial(open_checked, model, data, asked=asked))
    own = draft.own
    if timed:
        _try_out(model, draft, config)
    choice = _choose_rate(model, draft, config)
    draft = draft.trained_with(choice.lr)
    prices, budget_note = None, None
    if timed:
        prices = time_probe(draft.bench, seeds=config.seeds, limit=_timing_limit(draft.bench, config))
        if config.time_budget is not None:
            spent = time.monotonic() - begun
            found, budget_note = _fit(draft.bench.plan, config, train, prices, spent, fixed)
            config = _sized(config, draft.bench.plan, found.size)
            resolved = replace(train, lr=choice.lr, steps=found.size.steps)
            draft = _draft(model, data, network, config, resolved, accelerator, lambda *_: own)
    auto, folds, examples = draft.tolerance, draft.folds, len(draft.bench.split(0).valid)
    automatic = config.tolerance is None
    config = fix_tolerance(config, auto, own.metric)
    return Setup(
        model=model,
        data_source=source,
        data=data,
        bench=draft.bench,
        config=config,
        tolerance_note=say_tolerance(config, auto, examples, folds, own.metric),
        forecast=forecast(draft.bench.plan, config.seeds, prices, rates=config.rates),
        notes=fitted + own.notes + _same_weights(model, config) + _say_undrawn(model),
        own=own,
        lr_note=choice.note,
        range_test=choice.to_json(),
        budget_note=budget_note,
        setup_seconds=time.monotonic() - begun,
        tolerance_auto=automatic,
        folds=folds,
    )


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A bench, the user's functions in it, and what its split can resolve."""

    bench: Bench[GrowPlan]
    own: Own
    tolerance: Tolerance
    folds: int

    def trained_with(self, lr: float | None) -> "_Draft":
        return replace(self, bench=replace(self.bench, train=replace(self.bench.train, lr=lr)))


def _draft(
    model: Source,
    data: Dataset,
    network: nn.Module,
    config: GrowConfig,
    train: TrainConfig,
    accelerator: Any,
    open_functions: Callable[[nn.Module, torch.Tensor, GrowConfig, TrainConfig], Own],
) -> _Draft:
    folds = config.seeds if is_small(data) and data.valid is None else 1
    split = split_by_rank(data, config.split_seed, folds)
    first = split(0)
    example = first.train.x[:2]
    plan = plan_grow(network, example, config, train, len(first.train))
    check_reachable([asdict(candidate) for candidate in plan.candidates], config.limits)
    own = open_functions(network, example, config, train)
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
    return _Draft(bench=bench, own=own, tolerance=tolerance, folds=folds)


def _try_out(model: Source, draft: _Draft, config: GrowConfig) -> None:
    """The user's functions, on the base and the grown network."""
    bench, first = draft.bench, draft.bench.split(0)
    edited = grown(model.build(config.seed), bench.plan.edits, first.train.x[:2], 0)
    batches = Batches(first.train, bench.train.batch_size, 0, bench.augment, bench.accelerator.device)
    try_out(draft.own, [model.build(config.seed), edited], first, batches, bench.train, bench.accelerator)


def _choose_rate(model: Source, draft: _Draft, config: GrowConfig) -> RateChoice:
    """The one place that decides whether there is a range test."""
    bench = draft.bench
    return find_rate(
        model.build,
        bench.split(0).train,
        bench.train,
        augment=bench.augment,
        accelerator=bench.accelerator,
        seed=config.seed,
        own=draft.own,
    )


def _timing_limit(bench: Bench[GrowPlan], config: GrowConfig) -> float:
    """Seconds for timing: few, fewer for a short probe, at most 3 % of the budget."""
    short = 0.2 + bench.plan.steps * config.seeds / 1500
    return min(SECONDS, short, 0.03 * config.time_budget if config.time_budget is not None else SECONDS)


def _fit(
    plan: GrowPlan,
    config: GrowConfig,
    asked: TrainConfig,
    prices: Prices,
    spent: float,
    fixed: Collection[str],
) -> tuple[Fit, str]:
    """The probe that fits into the budget, and how to say it. asked: the training settings as they were given."""
    budget = config.time_budget or 0.0
    kept = {"seeds"} & set(fixed) | ({"steps"} if asked.steps is not None else set())
    kept |= {"candidates"} if config.candidates is not None else set()
    default = Size(config.seeds, len(plan.candidates), plan.steps)

    def price(size: Size) -> float:
        return spent + (forecast(resized(plan, size, config), size.seeds, prices, rates=config.rates).seconds or 0.0)

    found = fit(price, default, budget, fixed=kept)
    return found, say_fit(found, default, budget, spent)


def _sized(config: GrowConfig, plan: GrowPlan, size: Size) -> GrowConfig:
    thinned = thin(plan.opened, size.candidates)
    return replace(config, seeds=size.seeds, candidates=thinned if thinned != plan.opened else config.candidates)


def _same_weights(model: Source, config: GrowConfig) -> tuple[str, ...]:
    if config.seeds < 2:
        return ("one seed: no interval over seeds",)
    if model.checkpoint is not None:
        return ("every seed starts from the checkpoint: seeds differ in the order of the data and in the new layers",)
    one, two = (list(model.build(config.seed + rank).parameters()) for rank in range(2))
    if all(torch.equal(a, b) for a, b in zip(one, two, strict=True)):
        return ("the model file draws the same weights for every seed (does it call torch.manual_seed?)",)
    return ()


def _say_undrawn(model: Source) -> tuple[str, ...]:
    names = undrawn(model.module) if isinstance(model, InMemoryModel) else []
    said = f"no reset_parameters() draws {name_some(names)}: every training begins with the values of the module there"
    return (said,) if names else ()


def create_run(setup: Setup, out: Path | None) -> RunFolder:
    """The run folder of a new probe."""
    environment = describe_environment(str(setup.bench.accelerator.device))
    units = outline(setup.model.build(setup.config.seed), setup.bench.split(0).train.x[:2])
    return RunFolder.create(out, "grow", {**setup.to_json(), "units": units}, environment)


def reopen(folder: RunFolder) -> Setup:
    """The setup of an interrupted run. Raises when the model or the data are no longer the same."""
    config: Mapping[str, Any] = folder.config
    if "up_cool_share" not in config["grow"]:
        raise RunFolderError(
            "the run was begun by an older depthprobe, whose stairs were others",
            where=str(folder.path),
            hint="start a new run; finished ones can still be reported",
        )
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
    _check_norms(folder, setup)
    return replace(
        setup,
        tolerance_note=config["tolerance_note"],
        lr_note=config.get("lr_note", setup.lr_note),
        range_test=config.get("lr_range_test", []),
        budget_note=config.get("budget_note"),
        setup_seconds=config.get("setup_seconds", 0.0),
        tolerance_auto=config.get("tolerance_auto", False),
    )


def _check_norms(folder: RunFolder, setup: Setup) -> None:
    """Raise RunFolderError when the run began with BatchNorm measured on batches without augmentation: depths of one
    curve must be measured alike.
    """
    network = setup.model.build(setup.config.seed)
    if setup.bench.augment and any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules()):
        check_course(folder, COURSE)
