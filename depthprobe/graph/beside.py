"""Parameters that a block's stream does not need: a copy continues the stream alone, so they would be dead in it."""

import torch
from torch import Tensor, nn

from depthprobe.graph.example import evaluating
from depthprobe.graph.record import Seen
from depthprobe.layers.wiring import Wiring, get_leaf, map_leaves


def serves_beside(block: nn.Module, seen: Seen, wiring: Wiring) -> str:
    """The first parameter that reaches a returned tensor beside the stream and not the stream; "" without one.

    seen: a call of the block, repeated here with gradients on. The block is left as found.
    """
    if not wiring.made or wiring.states:
        return ""
    named = [(name, p) for name, p in block.named_parameters() if p.requires_grad]
    args, kwargs = map_leaves(
        lambda _, leaf: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf, seen.arguments
    )
    try:
        with evaluating(block), torch.enable_grad():
            output = block(*args, **kwargs)
            stream, *others = (get_leaf(output, path) for path in (wiring.out, *wiring.made))
            kept, made = _reached(stream, named), [_reached(other, named) for other in others]
    except (RuntimeError, ValueError, TypeError, IndexError):
        return ""  # what it was given cannot be given again, or has no gradient
    return next((name for name, _ in named if name not in kept and any(name in names for names in made)), "")


def _reached(output: Tensor, named: list[tuple[str, nn.Parameter]]) -> set[str]:
    if not output.requires_grad:
        return set()
    parameters = [p for _, p in named]
    found = torch.autograd.grad(output.sum(), parameters, retain_graph=True, allow_unused=True)
    return {name for (name, _), gradient in zip(named, found, strict=True) if gradient is not None}
