"""A trained network as the source of a probe: a checkpoint, or a module passed from Python, its weights kept."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.errors import ConfigError, ModelError
from depthprobe.inputs import InMemoryModel, ModelSource, as_tokens, fit_to_data, open_model
from depthprobe.inputs.memory_model import check_network, name_some, undrawn
from depthprobe.inputs.overrides import Overrides
from depthprobe.inputs.weights import Weights, load_weights, read_weights
from depthprobe.probes.about import check_about
from depthprobe.probes.setup import IN_MEMORY, DataSource, Source, recipe_network
from depthprobe.probes.width_fresh import redraw_cut
from depthprobe.surgery import Duplicate, Edit, Narrow, recipe_from_json
from depthprobe.surgery.edits import Remove


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedModel:
    """A network with its weights. source: the model it was made from; recipe: what was done to it before; weights: of a
    file (None: those of the module that was passed); example: two inputs to trace it with; trained: what the file says
    of itself; idle: units that changed nothing and are left out.
    """

    source: Source
    example: torch.Tensor
    recipe: tuple[Edit, ...] = ()
    weights: Weights | None = None
    trained: Mapping[str, Any] = field(default_factory=dict)
    idle: tuple[str, ...] = ()

    def build(self, seed: int = 0) -> nn.Module:
        """The network with its trained weights, the same for every seed, idle units left out. Raises ModelError when
        the weights do not fit.
        """
        whole = self.whole()
        return recipe_network(whole, removals(self.idle), self.example) if self.idle else whole

    def whole(self) -> nn.Module:
        """The network as it was trained."""
        if self.weights is None and isinstance(self.source, InMemoryModel):
            return copy.deepcopy(self.source.module)
        network = load_weights(self._skeleton(), self.weights) if self.weights else self._skeleton()
        check_network(network, self.where)
        return network

    def fresh(self, recipe: Iterable[Edit], seed: int, *, idle: bool = False) -> nn.Module:
        """The architecture with more edits, its weights drawn anew under `seed`; idle: with the idle units."""
        network = self.source.build(seed)
        whole = compose(self.recipe, [*(() if idle else removals(self.idle)), *recipe])
        made = recipe_network(network, whole, self.example, seed) if whole else network
        return redraw_cut(made, network, seed) if any(isinstance(edit, Narrow) for edit in whole) else made

    def _skeleton(self) -> nn.Module:
        network = self.source.build(0)
        return recipe_network(network, list(self.recipe), self.example) if self.recipe else network

    def say_undrawn(self, *, verify: bool) -> tuple[str, ...]:
        """Which parameters of a module passed from Python keep their trained values where new weights are drawn.

        Raises ConfigError where both networks are to be trained from scratch: with these they would not be.
        """
        names = undrawn(self.source.module) if isinstance(self.source, InMemoryModel) else []
        if not names:
            return ()
        if verify:
            raise ConfigError(
                "not all parameters of this module can be drawn anew: it cannot be trained from scratch",
                where="verify=True", expected="a reset_parameters() in every module that owns parameters",
                found=name_some(names),
                hint='write one; or pass "file.py:factory" and a checkpoint; or leave verify out',
            )  # fmt: skip
        return (f"no reset_parameters() draws {name_some(names)}: new networks begin with the trained values there",)

    def overrides(self) -> Overrides:
        """The training functions of the model's file."""
        return self.source.overrides()

    def rate_for(self, optimizer: str) -> float | None:
        """The learning rate it was trained with, where the checkpoint says it: a rate of another optimizer is none."""
        train = self.trained.get("train") or {}
        return train.get("lr") if train.get("optimizer", optimizer) == optimizer else None

    @property
    def where(self) -> str:
        """How messages call it."""
        return str(self.weights.path) if self.weights else IN_MEMORY

    def to_json(self) -> dict[str, object]:
        """The model's source, with the checkpoint under "checkpoint"."""
        document = dict(self.source.to_json())
        if self.weights is not None:
            described = bool(self.trained)
            document["checkpoint"] = {
                "path": str(self.weights.path), "sha256": self.weights.sha256, "described": described
            }  # fmt: skip
        return document


def open_trained(
    checkpoint: str | Path,
    model: str | None = None,
    model_args: Mapping[str, object] | None = None,
    data: DataSource | None = None,
    record: Mapping[str, Any] | None = None,
    data_dir: Path | None = None,
) -> tuple[TrainedModel, DataSource]:
    """The network and the data of a checkpoint; `model` and `data` win over what the file says of itself. record: the
    model of config.json of a run that is resumed; data_dir: where the data lie on this machine.

    Raises ModelError for a file that does not fit or does not say what is needed.
    """
    weights = read_weights(Path(checkpoint))
    about = weights.about or {}
    check_about(about, Path(checkpoint))
    if record is not None and not record["checkpoint"]["described"]:
        about = {"model": record}
    if model is None and "model" not in about:
        raise ModelError(
            "the checkpoint does not say which model it belongs to",
            where=str(checkpoint),
            expected="a model.pt of depthprobe, or --model and --dataset",
            found="a plain state dict",
            hint="--model model.py --dataset ..., as it was trained",
        )
    if data is None and "data" not in about:
        raise ModelError(
            "the checkpoint does not say which data set it was trained on", where=str(checkpoint),
            expected="a model.pt of depthprobe, or --dataset", hint="--dataset digits, or a folder of images",
        )  # fmt: skip
    data = data or DataSource.from_json(about["data"])
    if data_dir is not None:
        data = replace(data, data_dir=str(data_dir.absolute()))
    recipe = tuple(recipe_from_json(about["recipe"])) if model is None and "recipe" in about else ()
    opened = data.open()
    if model is not None:
        source, _ = fit_to_data(open_model(model, model_args), opened)
    else:
        source = replace(ModelSource.from_json(about["model"]), checkpoint=None)  # what it once started from
    example = as_tokens(opened, source.build(0)).train.x[:2]
    trained = TrainedModel(
        source=source, example=example, recipe=recipe, weights=weights, trained=about if model is None else {}
    )
    trained.build()
    return trained, data


def compose(first: Sequence[Edit], second: Sequence[Edit]) -> list[Edit]:
    """One recipe that does what `first` and then, on the settled result, `second` (removals, narrowings) do.

    A unit inside a copy that `first` inserted is named after the copy in the settled network: removing it removes the
    copy. A narrowing is carried out on the settled network itself, and what comes after it too.
    """
    last = max((rank for rank, edit in enumerate(first) if isinstance(edit, Narrow)), default=-1)
    copies = [
        (edit.unit, f"{edit.unit}_copy{number}")
        for edit in first[last + 1 :]
        if isinstance(edit, Duplicate)
        for number in range(1, edit.copies + 1)
    ]
    renamed = []
    for edit in second:
        home = next((name for _, name in copies if edit.unit == name or edit.unit.startswith(f"{name}.")), edit.unit)
        renamed.append(edit if isinstance(edit, Narrow) else replace(edit, unit=home))
    opened = [replace(edit, ratio=1.0) if isinstance(edit, Duplicate) else edit for edit in first]
    return [*opened, *renamed]


def removals(names: Iterable[str]) -> list[Edit]:
    """The edits that take units out."""
    return [Remove(unit=name) for name in names]
