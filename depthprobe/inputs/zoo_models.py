"""Models by name: `torchvision:NAME`, `timm:NAME`, `hf:CLASS`, with random weights."""

import difflib
import hashlib
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs.first_layer import of_channels
from depthprobe.inputs.zoo import import_zoo

_PACKAGE = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}
_WEIGHTS = ("weights", "weights_backbone", "pretrained", "checkpoint_path")

Factory = Callable[..., object]


def is_zoo_spec(spec: str) -> bool:
    """Whether `spec` reads torchvision:..., timm:... or hf:..."""
    prefix, colon, _ = spec.partition(":")
    return bool(colon) and prefix in _PACKAGE


def find_in_zoo(spec: str, args: Iterable[str] = ()) -> Factory:
    """The function that builds the model that `spec` names, of keyword arguments; weights are drawn, never fetched.

    For `hf:CLASS` the arguments are fields of the class's config; `torchvision:NAME` takes `in_channels` as well. args:
    names of the arguments that will be given. Raises ModelError for a missing package, an unknown name or field (with a
    close match), and for weights asked for.
    """
    prefix, _, name = spec.partition(":")
    package = import_zoo(_PACKAGE[prefix], spec)
    asked = [arg for arg in args if arg in _WEIGHTS]
    if asked:
        raise ModelError(f"{asked[0]}: weights are drawn, not fetched", where=spec, hint="leave the argument out")
    if prefix == "torchvision":
        return _from_torchvision(package, name, spec)
    if prefix == "timm":
        _need(name, package.list_models(), spec)
        return partial(package.create_model, name, pretrained=False)
    return _from_config(_hf_class(package, name, spec), list(args), spec)


def hash_zoo_file(spec: str) -> str | None:
    """Hash (SHA-256) the source file of the named model: another version of the package is another model."""
    prefix, _, name = spec.partition(":")
    package = import_zoo(_PACKAGE[prefix], spec)
    home: Any = _hf_class(package, name, spec) if prefix == "hf" else None
    if prefix == "torchvision":
        _need(name, package.models.list_models(), spec)
        home = package.models.get_model_builder(name)
    elif prefix == "timm":
        _need(name, package.list_models(), spec)
        home = package.model_entrypoint(name)
    file = inspect.getsourcefile(inspect.unwrap(home))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


def _from_torchvision(package: ModuleType, name: str, spec: str) -> Factory:
    _need(name, package.models.list_models(), spec)
    builder = package.models.get_model_builder(name)
    named = inspect.signature(builder).parameters
    return of_channels(
        partial(builder, **{word: None for word in ("weights", "weights_backbone") if word in named}), spec
    )


def _hf_class(package: ModuleType, name: str, spec: str) -> Any:
    kind = getattr(package, name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        _need(name, [word for word in dir(package) if "For" in word or word.endswith("Model")], spec)
    if getattr(kind, "config_class", None) is None:
        raise ModelError(
            f"{name} has no config of its own", where=spec, expected="a class of one architecture",
            hint="hf:BertForSequenceClassification",
        )  # fmt: skip
    return kind


def _from_config(kind: Any, args: list[str], spec: str) -> Factory:
    known = [word for word in dir(kind.config_class()) if not word.startswith("_")]
    for arg in args:
        if arg not in known:
            raise _unknown(arg, known, spec, "config field", "--model-args {}=...")
    return lambda **fields: kind(kind.config_class(**fields))


def _need(name: str, known: list[str], spec: str) -> None:
    if name not in known:
        raise _unknown(name, known, spec, "model", spec.partition(":")[0] + ":{}")


def _unknown(name: str, known: list[str], spec: str, what: str, hint: str) -> ModelError:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return ModelError(
        f"there is no {what} {name!r}", where=spec, found=f"{len(known):,} others",
        hint=hint.format(close[0]) if close else None,
    )  # fmt: skip
