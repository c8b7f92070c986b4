"""What a probe or a training needs, checked before anything is created: data, splits, device, outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.counting import number_of
from depthprobe.errors import DataError, ModelError, RunFolderError
from depthprobe.inputs import Dataset, InMemoryModel, ModelSource, Split, open_dataset, split_dataset
from depthprobe.inputs.lookup import anchor
from depthprobe.probes.environment import describe_environment
from depthprobe.recovery import command_of
from depthprobe.runs import RunFolder
from depthprobe.surgery import Edit, apply, settle
from depthprobe.training.batches import mix_seed
from depthprobe.training.learner import predict

IN_MEMORY = "<python>"

Source = ModelSource | InMemoryModel


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where the data came from: what `open_dataset` needs to bring them again."""

    spec: str
    data_dir: str | None = None
    limit_train: int | None = None
    image_size: int | None = None
    memory: Dataset | None = None

    def open(self) -> Dataset:
        """Load. Raises DataError."""
        if self.memory is not None:
            return self.memory
        if self.spec == IN_MEMORY:
            raise DataError(
                "the data were passed as Python objects and cannot be loaded by name", hint="run dp.grow again"
            )
        folder = Path(self.data_dir) if self.data_dir else None
        return open_dataset(self.spec, data_dir=folder, limit_train=self.limit_train, image_size=self.image_size)

    @property
    def anchored(self) -> "DataSource":
        """The same data, found from any folder."""
        if self.spec == IN_MEMORY:
            return self
        spec, folder = anchor(self.spec, Path(self.data_dir) if self.data_dir else None)
        return replace(self, spec=spec, data_dir=None if folder is None else str(folder))

    def to_json(self, data: Dataset) -> dict[str, Any]:
        """Plain values, paths such that they hold in any folder, with the fingerprint of what was loaded."""
        placed = self.anchored
        return {
            "spec": placed.spec,
            "data_dir": placed.data_dir,
            "limit_train": self.limit_train,
            "image_size": self.image_size,
            "fingerprint": data.fingerprint,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "DataSource":
        """What `to_json` gave."""
        return cls(**{key: value for key, value in document.items() if key != "fingerprint"})


def split_by_rank(data: Dataset, split_seed: int, folds: int) -> Callable[[int], Split]:
    """Rank of a seed -> its split; one split is kept in memory at a time."""
    cache: dict[int, Split] = {}

    def split(rank: int) -> Split:
        fold = rank % folds
        if fold not in cache:
            cache.clear()
            cache[fold] = split_dataset(data, split_seed=split_seed, fold=fold, folds=folds)
        return cache[fold]

    return split


def check_outputs(network: nn.Module, example: torch.Tensor, data: Dataset) -> None:
    """The network must give one finite number per class. Raises ModelError. Only for class indices as targets."""
    outputs = predict(network, example, next(network.parameters()).device)
    if outputs.ndim != 2 or outputs.shape[1] < len(data.classes):
        raise ModelError(
            f"the model gives fewer outputs than {data.name} has classes"
            if outputs.ndim == 2
            else "the model's output is not one row of class scores per example",
            expected=f"(batch, {len(data.classes)})",
            found=str(("batch", *outputs.shape[1:])).replace("'", ""),
            hint=f"end the model with {len(data.classes)} outputs",
        )
    wrong = outputs.isnan() | outputs.isposinf()
    wrong[:, : len(data.classes)] |= outputs[:, : len(data.classes)].isneginf()  # others may be masked
    if bool(wrong.any()):
        raise ModelError(
            "the model's outputs are not finite, before any training",
            expected=f"finite scores for {number_of(len(example), 'example')}",
            found=", ".join(str(value) for value in outputs[wrong][:3].tolist()),
            hint="look at the logarithms, roots and divisions in its forward",
        )


def choose_augment(train: TrainConfig, data: Dataset, example: torch.Tensor) -> bool:
    """Flip and crop: as asked, else for colour images. Raises DataError when the inputs are no images."""
    augment = data.colour if train.augment is None else train.augment
    if augment and example.ndim != 4:
        raise DataError(
            "augmentation needs images", where="--augment", found=f"inputs of shape {tuple(example.shape[1:])}"
        )
    return augment


def about_model(
    model: Source,
    source: DataSource,
    data: Dataset,
    *,
    split: Mapping[str, int],
    scaled: Split,
    train: TrainConfig,
    recipe: str,
    device: str,
) -> dict[str, Any]:
    """What model.pt says about itself: enough to build the network, bring the data again, and go on training.

    split: the "seed", "fold" and "folds" that say which examples were kept for validation; scaled: these examples. In
    the result, "input" has the shape of one input without the batch, of token ids the number that they are smaller
    than, and the "mean" and "std" per channel or feature of what the network was trained on, (x - mean) / std.
    """
    x = data.train.x
    below = None if x.is_floating_point() else int(x.max()) + 1
    return {
        "schema": 1,
        "model": model.to_json(),
        "data": source.to_json(data),
        "input": {"shape": list(x.shape[1:]), "below": below, "mean": list(scaled.mean), "std": list(scaled.std)},
        "split_seed": split["seed"],
        "split": dict(split),
        "train": train.to_json(),
        "recipe": recipe,
        "versions": describe_environment(device)["packages"],
    }


def recipe_network(
    model: nn.Module, recipe: Sequence[Edit], example: torch.Tensor, seed: int | None = None
) -> nn.Module:
    """The settled network that a recipe makes of a fresh model; seed: of new layers' weights, where they count."""
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(mix_seed(seed, 1))
        return settle(apply(model, recipe, example))


def check_same_data(folder: RunFolder, data: Dataset) -> None:
    """Raise RunFolderError when the data are not those that the run began with."""
    expected = folder.config["data"]["fingerprint"]
    if data.fingerprint != expected:
        raise RunFolderError(
            "the data are no longer those of the run",
            where=str(folder.path),
            expected=f"sha256 {expected[:12]}",
            found=f"sha256 {data.fingerprint[:12]}",
        )


def check_course(folder: RunFolder, course: int) -> None:
    """Raise RunFolderError when an older version began the run and would have trained other things in another order."""
    found = folder.config.get("course", 1)
    if found != course:
        raise RunFolderError(
            f"this run of {folder.config['command']} was begun by another version, which goes another way",
            where=str(folder.path),
            expected=f"course {course}",
            found=f"course {found}",
            hint=f"start it anew: {command_of(folder.path)}",
        )


def other_model(folder: RunFolder, error: ModelError) -> RunFolderError:
    """The error for a run whose model is no longer what it was."""
    return RunFolderError(
        f"the run was made with another model: {error.what}",
        where=str(folder.path),
        expected=error.expected,
        found=error.found,
        hint="put the model back as it was, or start a new run",
    )
