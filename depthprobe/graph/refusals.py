"""Refusals: why a layer or a block cannot be copied, left out or narrowed; "" where it can."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import fx, nn

from depthprobe.graph.blocks import Block, Shape
from depthprobe.graph.trace import Traced


@dataclass(frozen=True)
class Facts:
    """What every unit's judgement needs, gathered once. calls, owners: by the id of a module, of a parameter."""

    traced: Traced
    modules: dict[str, nn.Module]
    calls: Counter[int]
    owners: dict[int, list[tuple[str, nn.Module]]]


def layer_refusal(facts: Facts, nodes: list[fx.Node], layer: nn.Module) -> str:
    """Why nothing can be done with a layer in a graph. nodes: its stretch, and what it reads."""
    if facts.calls[id(layer)] > 1:
        return f"shared: called {facts.calls[id(layer)]} times in forward"
    shared = shared_weights(facts, layer)
    if shared:
        return f"shares its weight with {shared}"
    if any(node.name in facts.traced.unbatched for node in nodes):
        return "its first dimension is not the batch"
    return ""


def shared_weights(facts: Facts, layer: nn.Module) -> str:
    """The first module that holds a weight of this one, too; "" without one."""
    mine = set(layer.modules())  # with its parametrizations, or the layers of a block
    names = [name for p in layer.parameters() for name, owner in facts.owners[id(p)] if owner not in mine]
    return names[0] if names else ""


def foreign_kind(layer: nn.Module) -> str:
    """Why a layer of the user's own class has no copies: torch knows how to make another of its own only."""
    plain = type(layer).__module__.startswith("torch.nn")
    return "" if plain else f"a {type(layer).__name__} cannot be copied: only torch's own layers are made anew"


def skip_refusal(block: Block) -> str:
    """Why a block cannot be left out."""
    wiring = block.wiring
    if wiring.made and not wiring.states:
        return f"it returns more than the stream ({len(wiring.made)} tensors), which only it can make"
    if wiring.batch and block.in_shape != block.out_shape:
        return f"a bypass cannot turn {block.in_shape} into {block.out_shape}: the batch is not the first dimension"
    return shape_refusal(block.in_shape, block.out_shape)


def shape_refusal(in_shape: Shape, out_shape: Shape) -> str:
    """Why no bypass leads from one shape to the other. Both without the batch."""
    if len(in_shape) != len(out_shape) or (len(in_shape) > 4 and in_shape[1:] != out_shape[1:]):
        return f"a bypass cannot turn {in_shape} into {out_shape}"
    return ""


def template_of(modules: Mapping[str, nn.Module], block: Block, others: Iterable[Block]) -> Block | None:
    """The block that a copy behind `block` is made after: itself where it keeps the shape, else one of its class that
    does; a recurrent layer is made anew, so any will do.
    """
    if block.kind == "recurrent" or block.in_shape == block.out_shape:
        return block
    fits = (
        other
        for other in others
        if type(modules[other.name]) is type(modules[block.name])
        and other.in_shape == other.out_shape == block.out_shape
        and other.wiring.stream == block.wiring.stream
        and set(other.wiring.batched) <= set(block.wiring.batched)
    )
    return next(fits, None)


def no_template(module: nn.Module, block: Block) -> str:
    """Says that nothing fits behind a block to be copied."""
    return (
        f"it turns {block.in_shape} into {block.out_shape}, "
        f"and no other {type(module).__name__} keeps {block.out_shape}, so a copy cannot be made"
    )
