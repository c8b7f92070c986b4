"""What a network returns, as the one tensor that the loss and the metric read."""

from typing import Any

from torch import Tensor

from depthprobe.errors import ModelError


def logits(output: Any) -> Tensor:
    """The output itself, or its `logits` (Hugging Face's outputs, torchvision's networks with side heads).

    Raises ModelError for anything else.
    """
    found = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(found, Tensor):
        raise ModelError(
            "the model's output is not a tensor",
            expected="a tensor, or an object with `logits`",
            found=type(output).__name__,
            hint="a model whose forward returns one tensor, or your own training_step(model, batch)",
        )
    return found
