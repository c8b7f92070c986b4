"""What a block really gets and gives in a forward: for trying copies out before they are built in."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from depthprobe.graph.example import evaluating, resize_batch
from depthprobe.graph.trace import Traced
from depthprobe.layers.wiring import Arguments, Wiring, get_leaf, map_leaves, put_argument

_BATCH = 2


@dataclass(frozen=True)
class Captured:
    """One call of a block with two examples: its arguments, those of a copy behind it, and the stream that came out."""

    arguments: Arguments
    following: Arguments
    stream: Tensor


def capture_calls(traced: Traced, names: Iterable[str]) -> dict[str, Captured]:
    """Calls of the named blocks in one forward of the model in eval mode, all from the same forward."""
    found: dict[str, Captured] = {}

    def hook(name: str) -> RemovableHandle:
        def keep(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            found[name] = _captured(traced, name, args, kwargs, output)

        return traced.original.get_submodule(name).register_forward_hook(keep, with_kwargs=True)

    handles = [hook(name) for name in names]
    args, kwargs = (resize_batch(part, _BATCH) for part in traced.example)
    try:
        if handles:
            with evaluating(traced.original):
                traced.original(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _captured(traced: Traced, name: str, args: Any, kwargs: Any, output: Any) -> Captured:
    def keep(_: Any, leaf: Any) -> Any:
        if hasattr(leaf, "get_seq_length"):
            return None  # a memory of earlier tokens must not learn from a trial
        return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf

    wiring = traced.blocks[name].wiring
    given, behind = (map_leaves(keep, part) for part in ((args, kwargs), wiring.following((args, kwargs), output)))
    return Captured(given, behind, get_leaf(output, wiring.out).detach().clone())


def couples_samples(block: nn.Module, wiring: Wiring, call: Captured) -> bool:
    """Whether, in eval mode, what happens to one sample depends on another one in the batch.

    Tried by changing the other sample, and by leaving it out.
    """
    x = get_leaf(call.arguments, wiring.stream)
    other = x.clone()
    other.select(wiring.batch, 1).add_(1.0)
    first, second = (_stream(block, wiring, call.arguments, value).select(wiring.batch, 0) for value in (x, other))
    try:
        with evaluating(block):
            alone = block(*(part := wiring.split(call.arguments, 0, 1))[0], **part[1])
        third = get_leaf(alone, wiring.out).select(wiring.batch, 0)
    except (RuntimeError, ValueError, IndexError):
        return True  # a part of the batch is not what it takes
    return not all(torch.allclose(first, t, rtol=1e-3, atol=1e-5, equal_nan=True) for t in (second, third))


def is_identity(block: nn.Module, wiring: Wiring, call: Captured) -> bool:
    """Whether the block returns the stream as it came: on what it follows, and on that with noise of its sign."""
    noise = torch.rand(call.stream.shape, generator=torch.Generator().manual_seed(0)).to(call.stream)
    noise = noise if bool((call.stream >= 0).all()) else noise - 0.5
    tried = [call.stream, call.stream + noise]
    return all(torch.equal(_stream(block, wiring, call.following, x), x) for x in tried)


def _stream(block: nn.Module, wiring: Wiring, given: Arguments, x: Tensor) -> Tensor:
    arguments = ((x.clone(),), {}) if wiring.states else put_argument(given, wiring.stream, x.clone())
    with evaluating(block):
        return get_leaf(block(*arguments[0], **arguments[1]), wiring.out)  # type: ignore[no-any-return]
