"""Data sets from the user's own Python: `file.py:name`, a callable that returns the parts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from depthprobe.errors import DataError
from depthprobe.inputs.arrays import check_memory, make_examples
from depthprobe.inputs.candidates import missing_arguments
from depthprobe.inputs.examples import Examples
from depthprobe.inputs.isolation import isolated
from depthprobe.inputs.loaders import unload
from depthprobe.inputs.pyfiles import execute_file, find_attribute, reporting

PARTS = ("train", "valid", "test")
_FORM = '{"train": ..., "valid": ..., "test": ...} of data sets, loaders or (x, y) pairs; valid and test are optional'


def read_user_data(path: Path, name: str | None, where: str) -> tuple[dict[str, Examples], tuple[str, ...]]:
    """Call `name` in the file; return the parts and the class names (none unless the data has `classes`).

    The callable takes no arguments and runs with a fixed random seed, so that it returns the same data
    when a run is resumed. A part is a pair (x, y) of arrays or tensors, has `len()` and gives (input,
    label) by index, or is a DataLoader of such. Raises DataError for anything else, for what the user's
    code raises, and for what `make_examples` refuses.
    """
    with isolated(0, path.parent):
        module = execute_file(path, DataError)
        if not name:
            public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            hint = f"{path}:{public[-1]}" if public else None
            raise DataError("which function gives the data?", where=where, found=", ".join(public), hint=hint)
        target = find_attribute(module, name, where, DataError)
        if not callable(target):
            raise DataError(f"{name} is not callable", where=where, found=type(target).__name__)
        if missing := missing_arguments(target, {}):
            raise DataError(f"{name} needs arguments: {', '.join(missing)}", where=where, expected="none needed")
        with reporting(path, f"calling {name}", DataError):
            parts = target()
        with reporting(path, f"reading the data of {name}", DataError):
            return read_parts(parts, where)


def read_parts(parts: object, where: str) -> tuple[dict[str, Examples], tuple[str, ...]]:
    """Read the dict of parts; return the examples and the class names. Raises DataError."""
    found = _check_parts(parts, where)
    read = {part: _read_part(found[part], f"{where} ({part})") for part in PARTS if _given(found, part)}
    train = found["train"]
    names = getattr(train.dataset if isinstance(train, DataLoader) else train, "classes", ())
    return read, tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _given(parts: Mapping[str, object], part: str) -> bool:
    return parts.get(part) is not None


def _check_parts(parts: object, where: str) -> Mapping[str, object]:
    if not isinstance(parts, Mapping):
        raise DataError("the data are not a dict of parts", where=where, expected=_FORM, found=type(parts).__name__)
    unknown = [str(key) for key in parts if key not in PARTS]
    if unknown or not _given(parts, "train"):
        culprit = f"unknown part {unknown[0]!r}" if unknown else "there is no 'train'"
        raise DataError(culprit, where=where, expected=_FORM, found=", ".join(map(str, parts)) or "nothing")
    return parts


def _read_part(part: object, where: str) -> Examples:
    if isinstance(part, DataLoader):
        part = unload(part, where)
    if isinstance(part, tuple | list) and len(part) == 2 and all(_is_array(item) for item in part):
        return make_examples(part[0], part[1], where)
    if not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
        raise DataError(
            "neither a data set with length and index, nor a DataLoader, nor an (x, y) pair",
            where=where,
            found=type(part).__name__,
        )
    inputs: list[torch.Tensor] = []
    labels: list[object] = []
    for row in range(len(part)):
        item = part[row]
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise DataError(f"example {row} is not an (input, label) pair", where=where, found=type(item).__name__)
        inputs.append(_as_tensor(item[0]))
        labels.append(_as_label(item[1]))
        if row == 0:
            check_memory((len(part), *inputs[0].shape), where)
        if inputs[row].shape != inputs[0].shape:
            raise DataError(
                f"example {row} has another shape than example 0",
                where=where,
                expected=str(tuple(inputs[0].shape)),
                found=str(tuple(inputs[row].shape)),
            )
    return make_examples(torch.stack(inputs) if inputs else torch.empty(0), np.array(labels), where)


def _is_array(value: object) -> bool:
    return isinstance(value, torch.Tensor | np.ndarray)


def _as_label(value: object) -> object:
    """A number, or an array for several targets of one example."""
    if isinstance(value, torch.Tensor | np.generic | np.ndarray):
        alone = not value.shape or (np.asarray(value).size == 1 and np.asarray(value).dtype.kind != "f")
        return value.item() if alone else np.asarray(value)
    return value


def _as_tensor(value: object) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
