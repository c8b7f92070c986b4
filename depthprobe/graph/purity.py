"""Whether a forward does nothing but compute: plain attributes stay, the same input gives the same output."""

from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.layers.wiring import leaves_of

_PLAIN = (bool, int, float, str, type(None), list, dict, tuple)


def plain_attributes(model: nn.Module) -> dict[str, str]:
    """Every attribute of every module that is no tensor, module or hook, as text."""
    return {
        f"{name}.{key}".lstrip("."): _text(value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if not key.startswith("_") and key != "training"
    }


def _text(value: Any) -> str:
    """Plain values by their value; anything else by its kind, since a proxy or a tensor may have taken its place."""
    if isinstance(value, (list, dict)):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value) if isinstance(value, _PLAIN) and len(repr(value)) < 1000 else type(value).__name__


def differing(before: dict[str, str], after: dict[str, str]) -> str:
    """The first name whose value changed, came or went; "" when there is none."""
    names = [*before, *(name for name in after if name not in before)]
    return next((name for name in names if before.get(name) != after.get(name)), "")


def same_output(one: Any, two: Any) -> bool:
    """Whether two outputs have the same tensors, bit for bit, in the same places."""
    here, there = tensors_of(one), tensors_of(two)
    if [path for path, _ in here] != [path for path, _ in there]:
        return False
    return all(_equal(a, b) for (_, a), (_, b) in zip(here, there, strict=True))


def tensors_of(output: Any) -> list[tuple[Any, Tensor]]:
    """Where and which: the tensors in nested containers, and in the attributes of objects that no one knows."""
    found = []
    for path, leaf in leaves_of(output):
        inside = leaves_of(vars(leaf), path) if hasattr(leaf, "__dict__") and not isinstance(leaf, Tensor) else ()
        found += [(place, part) for place, part in ((path, leaf), *inside) if isinstance(part, Tensor)]
    return found


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.is_floating_point():
        return bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
    return bool(torch.equal(a, b))
