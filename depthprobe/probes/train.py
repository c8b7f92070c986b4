"""One training: the network as it is, grown without holds, or deep from the start."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.config import TrainConfig, TrainingConfig
from depthprobe.errors import ModelError
from depthprobe.graph.costs import count_parameters
from depthprobe.graph.failure import check_forward
from depthprobe.graph.trace import trace
from depthprobe.graph.units import find_units
from depthprobe.inputs import Dataset, ModelSource, Split, as_tokens, fit_to_data
from depthprobe.probes.arms import CHECKPOINT_SECONDS, next_mark, trace_distance, trace_point
from depthprobe.probes.bench import Arm, RatioDriver
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.holds import measure
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.own import Asked, Own, check_targets, open_own, try_out
from depthprobe.probes.plan import base_depth, choose_sites, default_steps, grown, spread_copies
from depthprobe.probes.rate import find_rate
from depthprobe.probes.setup import (
    DataSource,
    Source,
    about_model,
    check_outputs,
    check_same_data,
    choose_augment,
    other_model,
    split_by_rank,
)  # fmt: skip
from depthprobe.probes.together import decide, restore
from depthprobe.runs import RunFolder
from depthprobe.schedules import Schedule, staggered, together
from depthprobe.surgery import Duplicate, Edited, recipe_to_json, settle, settle_with_map
from depthprobe.surgery.optimizer import new_parameters
from depthprobe.training.batches import Batches, mix_seed
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner, predict
from depthprobe.training.team import ALONE, Team


@dataclass(frozen=True, kw_only=True)
class TrainSetup:
    """Everything about one training, resolved and checked; nothing created yet."""

    model: Source
    data_source: DataSource
    data: Dataset
    config: TrainingConfig
    train: TrainConfig
    edits: tuple[Duplicate, ...]
    schedule: Schedule | None
    accelerator: Any
    own: Own = field(default_factory=Own)
    fitted: tuple[str, ...] = ()
    lr_note: str
    range_test: list[dict[str, list[float]]]
    team: Team = ALONE

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know beside the plan and the rate."""
        return self.fitted + self.own.notes

    @property
    def steps(self) -> int:
        """Updates."""
        return self.train.steps or 0

    @property
    def arm(self) -> Arm:
        """The one arm of this run."""
        return Arm(self.config.seed, 0, "train")

    def split(self, rank: int = 0) -> Split:
        """The data of this training, as those of the first seed of a probe."""
        return split_by_rank(self.data, self.config.split_seed, 1)(rank)

    def to_json(self) -> dict[str, Any]:
        """config.json."""
        return {
            "model": self.model.to_json(),
            "data": self.data_source.to_json(self.data),
            "train": self.train.to_json(),
            "training": self.config.to_json(),
            "lr_note": self.lr_note,
            "lr_range_test": self.range_test,
            **self.own.to_json(),
        }


def set_up_training(
    model: Source, source: DataSource, config: TrainingConfig, train: TrainConfig, asked: Asked | None = None
) -> TrainSetup:
    """Check everything that can be checked before training. Raises UsageError; nothing is created."""
    accelerator = open_device(train.device, train.precision, train.threads)
    data = source.open()
    model, fitted = fit_to_data(model, data)
    network = model.build(config.seed)
    data = as_tokens(data, network)
    split = split_by_rank(data, config.split_seed, 1)(0)
    example = split.train.x[:2]
    steps = train.steps or default_steps(len(split.train), train.batch_size)
    edits: tuple[Duplicate, ...] = ()
    check_forward(network, ((example,), {}))
    if config.grow or config.deep:
        traced = trace(network, example)
        units = find_units(traced)
        sites = choose_sites(units, config)
        edits = spread_copies(traced, sites, config, len(units), base_depth(network, traced, units))
    own = open_own(model, data, train, config.metric, asked or Asked())
    if check_targets(network, example, data, own):
        check_outputs(network, example, data)
    edited = grown(network, edits, example, config.seed) if edits else None
    augment = choose_augment(train, data, example)
    train = replace(
        train, steps=steps, augment=augment, threads=torch.get_num_threads(), device=accelerator.device.type
    )
    batches = Batches(split.train, train.batch_size, 0, own.augment(augment), accelerator.device)
    networks = [model.build(config.seed), *([grown(network, edits, example, config.seed)] if edits else [])]
    try_out(own, networks, split, batches, train, accelerator)
    schedule = make_schedule(list(edited.gates), steps, config) if config.grow and edited else None
    choice = find_rate(
        model.build,
        split.train,
        train,
        augment=batches.augment,
        accelerator=accelerator,
        seed=config.seed,
        own=own,
    )
    return TrainSetup(
        model=model,
        data_source=source,
        data=data,
        config=replace(config, metric=own.metric.spec),
        train=replace(train, lr=choice.lr),
        edits=edits,
        schedule=schedule,
        accelerator=accelerator,
        own=own,
        fitted=fitted,
        lr_note=choice.note,
        range_test=choice.to_json(),
    )


def make_schedule(gates: Sequence[str], steps: int, config: TrainingConfig) -> Schedule:
    """The growing schedule of one training: all gates in within `length_share` of `steps`."""
    length = max(1, round(config.length_share * steps))
    if config.schedule == "together":
        return together(gates, length, steps=steps)
    return staggered(gates, length, overlap=config.overlap, steps=steps)


def build_network(setup: TrainSetup, example: torch.Tensor) -> tuple[nn.Module, list[nn.Parameter]]:
    """The network that is trained: plain, with gates, or deep from the start; and its added layers' parameters."""
    network = setup.model.build(setup.config.seed)
    if not setup.edits:
        return network, []
    edited = grown(network, setup.edits, example, setup.config.seed)
    if setup.config.grow:
        return edited, new_parameters(edited)
    edited.set_ratio(1.0)
    plain, became = settle_with_map(edited)
    return plain, [became[parameter] for parameter in new_parameters(edited)]


def run_training(setup: TrainSetup, folder: RunFolder, listener: Listener) -> dict[str, Any]:
    """Train (or go on training), then write model.pt, recipe.json and, last, summary.json; returns the summary.

    Raises TrainingError when the loss is no longer finite.
    """
    team = setup.team
    payload = restore(folder, team)
    begun = time.monotonic() - payload["seconds"]
    listener.begun(setup, 0, [setup.arm])
    split = setup.split()
    net, new = build_network(setup, split.train.x[:2])
    team.seed(setup.config.seed, 3)
    batches = Batches(
        split.train,
        setup.train.batch_size,
        mix_seed(setup.config.seed, 4),
        setup.own.augment(bool(setup.train.augment)),
        setup.accelerator.device,
    )
    learner = Learner(net, batches, setup.train, setup.accelerator, setup.own.functions, new=new, team=team)
    if payload["learner"] is not None:
        learner.load(payload["learner"])
    notebook = RunNotebook(folder, listener, begun)
    notebook.watch(learner)
    listener.arm_begun(setup.arm, learner.step)
    _walk(setup, learner, notebook, split)
    if isinstance(net, Edited):
        net.set_ratio(1.0)
        learner.net = settle(net)
    valid = measure(learner, split, setup.own.metric).value
    return decide(team, lambda: _conclude(setup, folder, learner, valid, split, time.monotonic() - begun))


def _walk(setup: TrainSetup, learner: Learner, notebook: RunNotebook, split: Any) -> None:
    driver = RatioDriver(learner.net, setup.schedule) if isinstance(learner.net, Edited) and setup.schedule else None
    every = trace_distance(setup.steps)
    saved = time.monotonic()

    def ratios() -> list[float]:
        return driver.ratios() if driver else []

    while learner.step < setup.steps:
        mark = next_mark(learner.step, every, [setup.steps])
        loss = learner.run(
            mark,
            lambda step: setup.own.rates.whole(setup.train.lr_shape, step, setup.steps),
            driver,
            lambda step, value: notebook.progress(setup.arm, step, value, ratios()),
        )
        if driver:
            driver(learner.step)
        trace_point(setup.arm, notebook, learner, split, loss, ratios(), setup.own.metric)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            notebook.checkpoint(setup.arm, learner.state())
            saved = time.monotonic()


def _conclude(
    setup: TrainSetup, folder: RunFolder, learner: Learner, valid: float, split: Any, seconds: float
) -> dict[str, Any]:
    metric = setup.own.metric
    test = metric.value(predict(learner.net, split.test.x, setup.accelerator.device), split.test.y)
    recipe = [replace(edit, ratio=1.0) for edit in setup.edits]
    text = recipe_to_json(recipe)
    summary = {
        "schema": 1,
        "command": "train",
        "metric": metric.name,
        "valid": {"value": valid, "examples": len(split.valid)},
        "test": {"value": test, "examples": len(split.test)},
        "params": count_parameters(learner.net),
        "added": sum(edit.copies for edit in setup.edits),
        "steps": learner.step,
        "lr": setup.train.lr,
        "wall_seconds": round(seconds, 2),
        "notes": [*setup.notes, *([setup.lr_note] if setup.range_test or setup.own.functions.optimizer else [])],
    }
    about = about_model(
        setup.model,
        setup.data_source,
        setup.data,
        split={"seed": setup.config.split_seed, "fold": 0, "folds": 1},
        scaled=split,
        train=setup.train,
        recipe=text,
        device=str(setup.accelerator.device),
    )
    folder.write_text("recipe.json", text)
    folder.write_torch("model.pt", {"state_dict": learner.net.state_dict(), "depthprobe": about})
    folder.write_json("summary.json", summary)
    return summary


def create_training(setup: TrainSetup, out: Path | None) -> RunFolder:
    """The run folder of a new training."""
    return RunFolder.create(out, "train", setup.to_json(), describe_environment(str(setup.accelerator.device)))


def reopen_training(folder: RunFolder) -> TrainSetup:
    """The setup of an interrupted training. Raises when the model or the data are no longer the same."""
    config = folder.config
    source = DataSource.from_json(config["data"])
    try:
        setup = set_up_training(
            ModelSource.from_json(config["model"]),
            source,
            TrainingConfig.from_json(config["training"]),
            TrainConfig.from_json(config["train"]),
            Asked(record=config),
        )
    except ModelError as error:
        raise other_model(folder, error) from error
    check_same_data(folder, setup.data)
    return replace(setup, lr_note=config.get("lr_note", setup.lr_note), range_test=config.get("lr_range_test", []))
