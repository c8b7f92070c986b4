"""A finished run's model.pt: its weights, what it says about itself, and the network built anew."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.errors import ModelError, RunFolderError
from depthprobe.inputs import ModelSource
from depthprobe.inputs.weights import load_plain
from depthprobe.probes.about import check_about
from depthprobe.probes.setup import DataSource, recipe_network
from depthprobe.surgery import recipe_from_json


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """model.pt as it was read. state: weights by name; about: model source, data set, recipe, versions."""

    path: Path
    state: Mapping[str, Tensor]
    about: Mapping[str, Any]

    def build(self) -> tuple[nn.Module, Tensor]:
        """The settled network with these weights, in eval mode, and two example inputs.

        Raises ModelError when the model's source is gone or has changed, or when the weights do not fit it.
        """
        example = self._example()
        source = replace(ModelSource.from_json(self.about["model"]), checkpoint=None)  # its weights would not stay
        recipe = recipe_from_json(self.about["recipe"])
        net = recipe_network(source.build(0), recipe, example)
        try:
            net.load_state_dict(dict(self.state))
        except RuntimeError as error:
            raise ModelError(
                "the weights do not fit the network that the recipe makes", where=str(self.path), found=str(error)
            ) from error
        return net.eval(), example

    def _example(self) -> Tensor:
        """Random inputs of the shape that was trained on; the data themselves where an older file does not say it."""
        known = self.about.get("input")
        if known is None:
            return DataSource.from_json(self.about["data"]).open().train.x[:2]
        generator = torch.Generator().manual_seed(0)
        if known["below"] is not None:
            return torch.randint(known["below"], (2, *known["shape"]), generator=generator)
        return torch.randn(2, *known["shape"], generator=generator)


def read_saved(path: Path) -> SavedModel:
    """model.pt of a run folder, or the file itself; nothing in it is executed. Raises RunFolderError or ModelError."""
    file = path / "model.pt" if path.is_dir() else path
    if not file.exists():
        unfinished = (path / "config.json").exists()
        raise RunFolderError(
            "there is no model.pt",
            where=str(path),
            expected="a finished run folder, or a model.pt",
            found="a run that is not finished" if unfinished else "no such file",
            hint=f"depthprobe resume {path}" if unfinished else "ls runs/",
        )
    try:
        payload = load_plain(file.read_bytes())
    except Exception as error:  # torch raises half a dozen kinds for files that are no checkpoints
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError("not a file of weights, or damaged", where=str(file), found=found) from error
    about = payload.get("depthprobe") if isinstance(payload, dict) else None
    if not (
        isinstance(about, dict) and isinstance(payload.get("state_dict"), dict) and {"model", "recipe"} <= set(about)
    ):
        raise ModelError(
            "this file does not say which model it belongs to",
            where=str(file),
            expected="a model.pt written by grow or train",
            hint="depthprobe train MODEL --dataset ... --checkpoint " + file.name,
        )
    check_about(about, file)
    return SavedModel(path=file, state=payload["state_dict"], about=about)
