"""The setup of a probe of a trained network: what shrink and width share of it, in the run folder and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from depthprobe.config import ShrinkConfig, WidthConfig
from depthprobe.errors import ModelError
from depthprobe.inputs import Dataset
from depthprobe.probes.bench import Bench, P_co
from depthprobe.probes.cost import Forecast
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.outline import outline
from depthprobe.probes.own import Own
from depthprobe.probes.setup import DataSource, about_model, check_course, check_same_data, other_model
from depthprobe.probes.trained import TrainedModel, compose, open_trained
from depthprobe.runs import RunFolder
from depthprobe.surgery import Edit, recipe_to_json

C = TypeVar("C", ShrinkConfig, WidthConfig)


@dataclass(frozen=True, kw_only=True)
class TrainedSetup(Generic[P_co, C]):
    """Everything resolved and checked, nothing created yet. split_of: seed, fold and folds of the split; range_test:
    curves of the search for a rate, () without one; setup_seconds: what all that took.
    """

    model: TrainedModel
    data_source: DataSource
    data: Dataset
    bench: Bench[P_co]
    config: C
    tolerance_note: str
    tolerance_auto: bool
    forecast: Forecast
    notes: tuple[str, ...]
    own: Own
    lr_note: str
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

    def describe(self, command: str, course: int) -> dict[str, Any]:
        """What config.json says of every probe of a trained network: enough, with its plan, to run the same again.

        course: of what is trained, and in which order; runs that another one began cannot be carried on.
        """
        return {
            "course": course,
            "model": self.model.to_json(),
            "data": self.data_source.to_json(self.data),
            "train": self.bench.train.to_json(),
            command: self.config.to_json(),
            "split": dict(self.split_of),
            "lr_note": self.lr_note,
            "lr_range_test": self.range_test,
            "tolerance_note": self.tolerance_note,
            "tolerance_auto": self.tolerance_auto,
            "setup_seconds": round(self.setup_seconds, 2),
        }

    def about(self, edits: Sequence[Edit]) -> dict[str, Any]:
        """What model.pt says of the network that `edits` make of the trained one (`about_model`)."""
        train = self.bench.train
        return about_model(
            self.model.source,
            self.data_source,
            self.data,
            split=self.split_of,
            scaled=self.bench.split(0),
            train=replace(train, lr=self.model.rate_for(train.optimizer) or train.lr),
            recipe=recipe_to_json(compose(self.model.recipe, edits)),
            device=str(self.bench.accelerator.device),
        )


def create_folder(
    setup: TrainedSetup[Any, Any], command: str, config: Mapping[str, Any], out: Path | None
) -> RunFolder:
    """The run folder of a new probe. config: of its config.json."""
    environment = describe_environment(str(setup.bench.accelerator.device))
    units = outline(setup.model.whole(), setup.bench.split(0).train.x[:2])
    return RunFolder.create(out, command, {**config, "units": units}, environment)


def reopen_model(folder: RunFolder, course: int) -> tuple[TrainedModel, DataSource]:
    """The network and the data of an interrupted run. Raises RunFolderError when the checkpoint or the model are no
    longer the same, or the run is of another course; ModelError when the network had no name.
    """
    record = folder.config
    check_course(folder, course)
    saved = record["model"].get("checkpoint")
    if saved is None:
        raise ModelError(
            "the network was passed as a Python object and cannot be loaded by name",
            where=str(folder.path),
            hint=f"run dp.{record['command']} again",
        )
    source = DataSource.from_json(record["data"])
    try:
        model, _ = open_trained(saved["path"], data=source, record=record["model"])
    except ModelError as error:
        raise other_model(folder, error) from error
    if model.weights is not None and model.weights.sha256 != saved["sha256"]:
        raise other_model(folder, ModelError("the checkpoint is another file now", found=saved["path"]))
    return model, source


S = TypeVar("S", bound=TrainedSetup[Any, Any])


def as_recorded(setup: S, folder: RunFolder) -> S:
    """The setup of an interrupted run with what was said when it began. Raises RunFolderError when the data are no
    longer the same.
    """
    check_same_data(folder, setup.data)
    record = folder.config
    return replace(
        setup,
        tolerance_note=record["tolerance_note"],
        tolerance_auto=record["tolerance_auto"],
        setup_seconds=record["setup_seconds"],
    )
