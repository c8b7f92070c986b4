"""A model becomes a graph of layers and blocks (torch.fx), or, where fx cannot follow, a list of blocks in place."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from depthprobe.errors import DepthprobeError, GraphError
from depthprobe.graph.blocks import Block, Blocks, Shape, find_blocks
from depthprobe.graph.example import (
    Example,
    copy_model,
    evaluating,
    resize_batch,
    split_inputs,
)
from depthprobe.graph.failure import explain_failure
from depthprobe.graph.purity import differing, plain_attributes, same_output
from depthprobe.graph.run import NO_RUNS, Runs
from depthprobe.graph.runs import find_runs
from depthprobe.graph.shapes import find_shapes, ordered_inputs
from depthprobe.graph.symbolic import carry_constants, follow_forward, mend_dropout, restore_modes
from depthprobe.graph.unused import drop_unused

TRACERS = ("auto", "fx", "modules")


@dataclass(frozen=True)
class Traced:
    """A traced copy of a model.

    original: the deep copy that was traced; its parameters are the graph's. tracer: "fx" or "modules"; why: the reason
    why fx was not taken. root: the graph, nodes named by fx (the copy itself without one). blocks: modules that are
    units as a whole, by name; refused: modules that are not, and why. shapes: for every tensor-valued node its shape
    without the batch dimension; nodes missing here are no tensors. unbatched: nodes whose first dimension is not the
    batch. example: the inputs, as (args, kwargs). runs: without a graph, the weight layers outside the blocks.
    """

    original: nn.Module
    root: nn.Module
    tracer: str
    blocks: dict[str, Block]
    refused: dict[str, str]
    shapes: dict[str, Shape]
    unbatched: frozenset[str]
    example: Example
    why: str = ""
    runs: Runs = NO_RUNS

    @property
    def graph(self) -> fx.Graph:
        """The traced graph, empty without one; do not edit it, build a new one."""
        return self.root.graph if isinstance(self.root, fx.GraphModule) else fx.Graph()


def trace(model: nn.Module, example_inputs: Any, tracer: str = "auto") -> Traced:
    """Trace a deep copy of `model`; the model itself is left as found.

    example_inputs: tensor, tuple or dict with a batch of any size. tracer: "fx" follows `forward` symbolically, blocks
    as leaves; "modules" only looks at which blocks are called; "auto" takes the first that works. Raises GraphError
    when none does, when train and eval differ in more than functional dropout, or when the input does not fit.
    """
    if tracer not in TRACERS:
        raise GraphError("the tracer is not known", expected=" | ".join(TRACERS), found=repr(tracer))
    example = split_inputs(example_inputs)
    original, scratch = copy_model(model), copy_model(model)
    small = resize_batch(example[0], 2), resize_batch(example[1], 2)
    try:
        blocks, output = find_blocks(scratch, example), _run(scratch, small)
        blocks = drop_unused(scratch, small, blocks, output)
    except DepthprobeError:
        raise
    except Exception as error:  # a user's forward may raise anything
        raise explain_failure(scratch, example, error) from error
    if tracer == "modules":
        return _by_modules(original, blocks, example, "")
    try:
        return _by_graph(original, scratch, blocks, example, output)
    except GraphError as error:
        if tracer == "fx":
            raise
        return _by_modules(original, blocks, example, error)


def _run(model: nn.Module, example: Example) -> Any:
    with evaluating(model):
        torch.manual_seed(0)
        return model(*example[0], **example[1])


def _by_modules(original: nn.Module, blocks: Blocks, example: Example, why: GraphError | str) -> Traced:
    runs = find_runs(original, example, [block.name for block in blocks.found])
    if not blocks.found and all(run.reason for run in runs.found.values()):
        reasons = [*blocks.refused, *((run.name, run.reason) for run in runs.found.values())]
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons[:3])
        found = f"no module that is a unit by itself{': ' + listed if listed else ''}"
        if isinstance(why, GraphError):
            raise GraphError(why.what, where=why.where, expected=why.expected, found=why.found or found, hint=why.hint)
        raise GraphError(
            f"{type(original).__name__} has no block or run of layers to gate in place", found=found,
            hint="--tracer fx, or auto",
        )  # fmt: skip
    return Traced(
        original, original, "modules", {b.name: b for b in blocks.found}, dict(blocks.refused), {}, frozenset(),
        example, str(why), runs,
    )  # fmt: skip


def _by_graph(original: nn.Module, scratch: nn.Module, blocks: Blocks, example: Example, output: Any) -> Traced:
    flags = {name: module.training for name, module in original.named_modules()}
    leaves = frozenset(block.name for block in blocks.found)
    before = plain_attributes(scratch)
    graphs = {mode: follow_forward(scratch, mode, leaves) for mode in (True, False)}
    changed = differing(before, plain_attributes(scratch))
    if changed:
        raise GraphError(
            f"{type(original).__name__}.forward changes {changed}, which a graph would not",
            where=changed,
            expected="a forward that keeps its state in buffers",
        )
    carry_constants(scratch, original, graphs[True])
    root = fx.GraphModule(original, graphs[True], type(original).__name__)
    mend_dropout(root, graphs[False])
    restore_modes(root, flags)
    shapes, unbatched = find_shapes(root, *example)
    _check_output(root, example, output)
    called = {str(node.target) for node in root.graph.find_nodes(op="call_module")}
    found = {block.name: block for block in blocks.found if block.name in called}
    return Traced(original, root, "fx", found, dict(blocks.refused), shapes, unbatched, example)


def _check_output(root: fx.GraphModule, example: Example, output: Any) -> None:
    """The graph computes what the model does, bit for bit, or is not taken."""
    small = resize_batch(example[0], 2), resize_batch(example[1], 2)
    with evaluating(root):
        torch.manual_seed(0)
        mine = root(*ordered_inputs(root, *small))
    if not same_output(mine, output):
        raise GraphError(
            "the graph that torch.fx makes of the model computes something else",
            where=type(root).__name__,
            expected="a forward whose operations do not depend on values or on earlier calls",
        )
