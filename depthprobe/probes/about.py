"""What a model.pt says of itself, checked before it is believed: the file may come from anywhere."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from depthprobe.config import MOST_COPIES, MOST_KERNEL
from depthprobe.errors import ModelError
from depthprobe.inputs.arrays import check_memory
from depthprobe.surgery import Duplicate, Edit, recipe_from_json

_DATA: dict[str, tuple[type, ...]] = {
    "spec": (str,),
    "data_dir": (str, type(None)),
    "limit_train": (int, type(None)),
    "image_size": (int, type(None)),
    "fingerprint": (str,),
}


def check_about(about: Mapping[str, Any], where: Path) -> None:
    """Raise ModelError when a part of `about` is not of its kind, EditError for its recipe, DataError for inputs that
    do not fit in memory.
    """
    for name, right in _PARTS.items():
        if name in about and not right(about[name]):
            raise ModelError(
                f"the file says something that cannot be of itself: {name}", where=str(where),
                expected="a model.pt as depthprobe wrote it", found=repr(about[name]),
                hint=f"where you trust the weights: depthprobe shrink {where.name} --model model.py --dataset ...",
            )  # fmt: skip
    if "recipe" in about:
        _check_size(recipe_from_json(about["recipe"]), where)
    if about.get("input") is not None:
        check_memory((2, *about["input"]["shape"]), str(where))


def _check_size(recipe: Sequence[Edit], where: Path) -> None:
    added = [edit for edit in recipe if isinstance(edit, Duplicate)]
    copies, kernel = sum(edit.copies for edit in added), max((edit.kernel or 1 for edit in added), default=1)
    if copies > MOST_COPIES or kernel > MOST_KERNEL:
        raise ModelError(
            "the recipe in the file makes a network that nobody has trained", where=str(where),
            expected=f"at most {MOST_COPIES:,} added units, with kernels of at most {MOST_KERNEL:,}",
            found=f"{copies:,} added units, kernels of {kernel:,}",
        )  # fmt: skip


def _is_model(part: Any) -> bool:
    spec = part.get("spec") if isinstance(part, Mapping) else None
    return isinstance(spec, str) and "\0" not in spec


def _is_data(part: Any) -> bool:
    known = isinstance(part, Mapping) and "spec" in part and set(part) <= set(_DATA)
    return known and all(isinstance(value, _DATA[name]) for name, value in part.items())


def _is_input(part: Any) -> bool:
    if part is None:
        return True
    shape, below = (part.get("shape"), part.get("below")) if isinstance(part, Mapping) else (None, None)
    sizes = [*shape, 1 if below is None else below] if isinstance(shape, list) else [0]
    return all(isinstance(size, int) and size > 0 for size in sizes) and _is_scale(part)


def _is_scale(part: Mapping[str, Any]) -> bool:
    """Means and standard deviations: as many of one as of the other, all of them numbers, or neither."""
    mean, std = part.get("mean", []), part.get("std", [])
    known = isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std)
    return known and all(isinstance(value, float) and math.isfinite(value) for value in (*mean, *std))


def _is_split(part: Any) -> bool:
    return isinstance(part, Mapping) and all(isinstance(value, int) for value in part.values())


_PARTS: dict[str, Callable[[Any], bool]] = {
    "model": _is_model,
    "data": _is_data,
    "input": _is_input,
    "split": _is_split,
    "train": lambda part: isinstance(part, Mapping),
    "recipe": lambda part: isinstance(part, str),
}
