"""What a probe of a trained network begins with: the network, its data and the settings to fine-tune it, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.parameter import is_lazy

from depthprobe.config import ShrinkConfig, TrainConfig, WidthConfig
from depthprobe.errors import ModelError
from depthprobe.inputs import Dataset, Split, as_tokens
from depthprobe.probes.bench import Bench, Plan
from depthprobe.probes.conclusion import chance
from depthprobe.probes.own import Asked, Own, open_checked
from depthprobe.probes.rate import find_rate
from depthprobe.probes.setup import DataSource, choose_augment, split_by_rank
from depthprobe.probes.trained import TrainedModel
from depthprobe.training.device import open_device

ABOVE_CHANCE = 3.0  # standard errors that a trained network has to be above guessing
KEPT = ("optimizer", "momentum", "weight_decay", "clip", "batch_size", "augment", "precision", "steps")
P = TypeVar("P", bound=Plan)


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """A trained network, opened; nothing is measured or planned yet. network: as it was trained; train: as asked, its
    rate open (None) where none was typed; split, split_of: the data, and seed, fold and folds that gave them; notes:
    what to know about all of it.
    """

    model: TrainedModel
    network: nn.Module
    data: Dataset
    split: Split
    split_of: Mapping[str, int]
    own: Own
    train: TrainConfig
    augment: bool
    accelerator: Accelerator
    notes: tuple[str, ...]

    @property
    def example(self) -> torch.Tensor:
        """Two inputs to trace networks with."""
        return self.split.train.x[:2]

    def bench(self, plan: P, lr: float | None) -> Bench[P]:
        """What the arms of `plan` share, at the learning rate that was chosen."""
        return Bench(
            build=lambda seed: self.model.build(),
            split=lambda rank: self.split,
            plan=plan,
            train=replace(
                self.train,
                lr=lr,
                steps=plan.steps,
                augment=self.augment,
                threads=torch.get_num_threads(),
                device=self.accelerator.device.type,
            ),
            augment=self.own.augment(self.augment),
            accelerator=self.accelerator,
            own=self.own.functions,
            rates=self.own.rates,
            metric=self.own.metric,
        )


def open_fine_tuning(
    model: TrainedModel,
    source: DataSource,
    config: ShrinkConfig | WidthConfig,
    typed: Mapping[str, Any],
    asked: Asked,
) -> FineTuning:
    """Open the data and the user's functions, and check that all fits. Raises UsageError; nothing is created.

    typed: training settings that were given; the others are those of the checkpoint, where it says them.
    """
    train, undrawn = fine_tuning(model, typed), model.say_undrawn(verify=config.verify)
    accelerator = open_device(train.device, train.precision, train.threads)
    data, network = source.open(), model.whole()
    _check_weights(network)
    data, split_of = as_tokens(data, network), choose_split(model, config)
    split = split_by_rank(data, split_of["seed"], split_of["folds"])(split_of["fold"])
    own = open_checked(model, data, network, split.train.x[:2], config, train, asked)  # type: ignore[arg-type]
    return FineTuning(
        model=model,
        network=network,
        data=data,
        split=split,
        split_of=split_of,
        own=own,
        train=train,
        augment=choose_augment(train, data, split.train.x[:2]),
        accelerator=accelerator,
        notes=own.notes + say_split(model, split_of, data) + undrawn,
    )


def _check_weights(network: nn.Module) -> None:
    """Raise ModelError for weights that no training went into yet, and for those too coarse to be trained on."""
    for name, parameter in network.named_parameters():
        if is_lazy(parameter):
            raise ModelError(
                "the network has no weights yet: it is not a trained one", where=name, found="a lazy module",
                expected="weights", hint="model(example_inputs) gives them a shape; train it first",
            )  # fmt: skip
        if parameter.dtype in (torch.float16, torch.bfloat16):
            raise ModelError(
                "weights in half precision are too coarse to be trained on", where=name, found=str(parameter.dtype),
                expected="torch.float32", hint="pass model.float(); precision='bf16' mixes precisions",
            )  # fmt: skip


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
    tuning: FineTuning, share: float, record: Mapping[str, Any] | None
) -> tuple[float | None, str, list[dict[str, list[float]]]]:
    """(rate of fine-tuning, how it came about, curves of the range test): as typed, else a share of the rate of
    training. record: config.json of the run that is resumed, which settles it.
    """
    model, train = tuning.model, tuning.train
    if record is not None:
        return train.lr, str(record["lr_note"]), record["lr_range_test"]
    asked = bool(tuning.own.functions.optimizer) or train.lr is not None
    before = model.rate_for(train.optimizer)
    if before is not None and not asked:
        return share * before, f"fine-tuning at {share:g} x the rate of training, {before:g}", []
    choice = find_rate(
        model.source.build if asked else lambda seed: model.fresh((), seed),
        tuning.split.train,
        train,
        augment=tuning.augment,
        accelerator=tuning.accelerator,
        own=tuning.own,
    )
    if asked:
        return choice.lr, choice.note, []
    lr = None if choice.lr is None else share * choice.lr
    return lr, f"fine-tuning at {share:g} x the rate for training: {choice.note}", choice.to_json()


def check_trained(bench: Bench[Plan], whole: float, where: str) -> None:
    """A network at chance has nothing to keep. Raises ModelError. whole: its metric on validation data."""
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
