"""The one tensor of a model's output that is trained and measured, whatever it is wrapped in."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from depthprobe.errors import ModelError

_NAMES = ("logits", "out")


def main_output(output: Any) -> Tensor:
    """The output itself, its `logits` or `out` (an attribute or a key), or the first tensor of a tuple or list.

    Raises ModelError when there is none.
    """
    if isinstance(output, Tensor):
        return output
    for name in _NAMES:
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    if isinstance(output, (tuple, list)):
        first = next((item for item in output if isinstance(item, Tensor)), None)
        if first is not None:
            return first
    raise ModelError(
        "the model's output holds no tensor to learn from",
        expected="a tensor, an object or dict with `logits` or `out`, or a tuple that begins with a tensor",
        found=type(output).__name__,
        hint="write loss(output, target) and metric(output, target) in the model's file, or wrap the model",
    )
