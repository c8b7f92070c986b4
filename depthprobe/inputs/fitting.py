"""What a model by name and a data set have to agree on: outputs, channels, picture size; and token ids."""

from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from depthprobe.inputs.examples import Dataset, Examples
from depthprobe.inputs.models import ModelSource
from depthprobe.inputs.zoo import import_zoo
from depthprobe.inputs.zoo_models import is_zoo_spec

Source = TypeVar("Source")


def fit_to_data(source: Source, data: Dataset) -> tuple[Source, tuple[str, ...]]:
    """The source with the arguments that the data ask for, and what to say about them.

    Only for models by name; arguments that the user gave stay as they are. One output per class, or per column of a
    regression; channels and picture size where the model is built for a fixed one.
    """
    if not (isinstance(source, ModelSource) and is_zoo_spec(source.spec)):
        return source, ()
    wanted = _wanted(source, data)
    fitted = replace(source, args={**wanted, **source.args})
    said = [f"{name}={value}" for name, value in wanted.items() if fitted.args[name] == value]
    return fitted, ((f"{source.spec} is built with {', '.join(said)}, to fit {data.name}",) if said else ())


def as_tokens(data: Dataset, network: nn.Module) -> Dataset:
    """The data with x as int64 where they are token ids: rows of whole numbers for a network with an Embedding.

    Anything else is returned as it is: numbers, which are normalised.
    """
    x = data.train.x
    if x.ndim != 2 or not any(isinstance(module, nn.Embedding) for module in network.modules()):
        return data
    parts = [part for part in (data.train, data.valid, data.test) if part is not None]
    if not all(bool(((part.x >= 0) & (part.x == part.x.floor())).all()) for part in parts):
        return data
    whole = {name: _whole(getattr(data, name)) for name in ("train", "valid", "test")}
    return replace(data, **whole)  # type: ignore[arg-type]


def _whole(part: Examples | None) -> Examples | None:
    return None if part is None else Examples(part.x.to(torch.int64), part.y)


def _wanted(source: ModelSource, data: Dataset) -> dict[str, object]:
    """Argument -> value, for the model's package."""
    prefix, _, name = source.spec.partition(":")
    y, x = data.train.y, data.train.x
    outputs = len(data.classes) or (y.shape[1] if y.ndim == 2 else 1)
    picture = (int(x.shape[1]), int(x.shape[2])) if x.ndim == 4 and x.shape[2] == x.shape[3] else None
    if prefix == "torchvision":
        fixed = {"image_size": picture[1]} if picture and name.startswith("vit_") else {}
        grey = {"in_channels": picture[0]} if picture and picture[0] != 3 else {}
        return {"num_classes": outputs, **grey, **fixed}
    if prefix == "timm":
        return {"num_classes": outputs, **(_timm_picture(name, *picture) if picture else {})}
    return {"num_labels": outputs, **(_hf_picture(source, *picture) if picture else {})}


def _timm_picture(name: str, channels: int, side: int) -> dict[str, object]:
    config = import_zoo("timm", name).get_pretrained_cfg(name)
    settings: dict[str, object] = {"in_chans": channels} if channels != 3 else {}
    if config is not None and config.fixed_input_size and tuple(config.input_size[1:]) != (side, side):
        settings["img_size"] = side
    return settings


def _hf_picture(source: ModelSource, channels: int, side: int) -> dict[str, object]:
    kind = getattr(import_zoo("transformers", source.spec), source.spec.partition(":")[2])
    config = kind.config_class()
    wanted = {"num_channels": channels, "image_size": side}
    return {key: value for key, value in wanted.items() if hasattr(config, key)}
