"""A model becomes a graph of layers and blocks (torch.fx), or, where fx cannot follow, a list of blocks in place."""

import contextlib
import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from depthprobe.errors import DepthprobeError, GraphError
from depthprobe.graph.blocks import Block, Blocks, Shape, find_blocks
from depthprobe.graph.example import (
    Example,
    copy_model,
    describe_inputs,
    evaluating,
    resize_batch,
    split_inputs,
)
from depthprobe.graph.functional import as_module
from depthprobe.graph.layer_types import ACTIVATIONS, DROPOUTS, NORMS, WEIGHT_LAYERS
from depthprobe.graph.purity import differing, plain_attributes, same_output
from depthprobe.graph.run import NO_RUNS, Runs
from depthprobe.graph.runs import find_runs
from depthprobe.graph.unused import drop_unused

TRACERS = ("auto", "fx", "modules")
_LAYERS = (*WEIGHT_LAYERS, *NORMS, *ACTIVATIONS, DROPOUTS)  # leaves also where a library derives its own from them


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
    except Exception as error:  # noqa: BLE001  # a user's forward may raise anything
        return _explain(original, scratch, example, error)
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


def _explain(original: nn.Module, scratch: nn.Module, example: Example, error: Exception) -> Traced:
    """The model does not run on the example: where and why, from its graph if it has one."""
    try:
        graph = _symbolic(scratch, False, frozenset())
    except GraphError:
        graph = None
    if graph is not None:
        _shapes(fx.GraphModule(scratch, graph), *example)
    raise GraphError(
        f"the model does not run on an input of shape {describe_inputs(example)}: {str(error) or type(error).__name__}",
        where=_source_of(error, original),
        hint="check the example inputs against forward: a tensor, a tuple of arguments or a dict of keyword arguments",
    ) from error


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
    graphs = {mode: _symbolic(scratch, mode, leaves) for mode in (True, False)}
    changed = differing(before, plain_attributes(scratch))
    if changed:
        raise GraphError(
            f"{type(original).__name__}.forward changes {changed}, which a graph would not",
            where=changed,
            expected="a forward that keeps its state in buffers",
        )
    _carry_constants(scratch, original, graphs[True])
    root = fx.GraphModule(original, graphs[True], type(original).__name__)
    _mend_dropout(root, graphs[False])
    _restore(root, flags)
    shapes, unbatched = _shapes(root, *example)
    _check_output(root, example, output)
    called = {str(node.target) for node in root.graph.find_nodes(op="call_module")}
    found = {block.name: block for block in blocks.found if block.name in called}
    return Traced(original, root, "fx", found, dict(blocks.refused), shapes, unbatched, example)


def _carry_constants(scratch: nn.Module, original: nn.Module, graph: fx.Graph) -> None:
    """Tensors that forward makes from nothing, which fx keeps at the root that it traced."""
    for node in graph.find_nodes(op="get_attr"):
        if not is_taken(original, str(node.target)):
            setattr(original, str(node.target), getattr(scratch, str(node.target)))


def _check_output(root: fx.GraphModule, example: Example, output: Any) -> None:
    """The graph computes what the model does, bit for bit, or is not taken."""
    small = resize_batch(example[0], 2), resize_batch(example[1], 2)
    with evaluating(root):
        torch.manual_seed(0)
        mine = root(*_ordered(root, *small))
    if not same_output(mine, output):
        raise GraphError(
            "the graph that torch.fx makes of the model computes something else",
            where=type(root).__name__,
            expected="a forward whose operations do not depend on values or on earlier calls",
        )


class _Tracer(fx.Tracer):
    """torch.fx with the model's blocks as leaves, and whatever holds a block followed inside."""

    def __init__(self, blocks: frozenset[str]) -> None:
        super().__init__()
        self._blocks = blocks
        self._holders = {name.rsplit(".", level)[0] for name in blocks for level in range(1, name.count(".") + 1)}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Asked by torch.fx for every module it meets."""
        if module_qualified_name in self._blocks:
            return True
        if module_qualified_name in self._holders:
            return False
        return isinstance(m, _LAYERS) or super().is_leaf_module(m, module_qualified_name)


def _symbolic(model: nn.Module, training: bool, blocks: frozenset[str]) -> fx.Graph:
    model.train(training)
    try:
        return _Tracer(blocks).trace(model)
    except Exception as error:
        raise GraphError(
            f"torch.fx cannot follow {type(model).__name__}.forward: {error}",
            where=_source_of(error, model),
            expected="a forward without control flow on tensor values",
            hint="move the branch out of forward, or into a module of its own that takes and returns one tensor",
        ) from error


def _source_of(error: BaseException, model: nn.Module) -> str:
    try:
        home = inspect.getsourcefile(type(model))
    except TypeError:
        home = None
    place = ""
    trace_back = error.__traceback__
    while trace_back is not None:
        frame = trace_back.tb_frame.f_code
        elsewhere = "/torch/" in frame.co_filename or frame.co_filename == __file__
        if frame.co_filename == home or not (place or elsewhere):
            place = f"{frame.co_filename}:{trace_back.tb_lineno}"
        trace_back = trace_back.tb_next
    return place or type(model).__name__


def _restore(module: nn.Module, flags: Mapping[str, bool]) -> None:
    """Per-module training flags as the user set them (a frozen BatchNorm stays frozen)."""
    for name, child in module.named_modules():
        child.training = flags.get(name, flags[""])


def _mend_dropout(root: fx.GraphModule, evaluated: fx.Graph) -> None:
    """fx froze `training=` into the graph: functional dropout becomes a module, other differences are refused."""
    here, there = list(root.graph.nodes), list(evaluated.nodes)
    if [(n.op, n.target) for n in here] != [(n.op, n.target) for n in there]:
        raise _disagreement(root, here, there)
    differing = [pair for pair in zip(here, there, strict=True) if _constants(pair[0]) != _constants(pair[1])]
    for node, twin in differing:
        module = as_module(node)
        if not isinstance(module, nn.modules.dropout._DropoutNd):
            raise _disagreement(root, [node], [twin])
        name = free_name(root, f"{node.name}_module")
        root.add_submodule(name, module)
        with root.graph.inserting_before(node):
            call = root.graph.call_module(name, (node.args[0] if node.args else node.kwargs["input"],))
        node.replace_all_uses_with(call)
        root.graph.erase_node(node)
    root.recompile()


def free_name(root: nn.Module, wanted: str) -> str:
    """`wanted`, or with the first number behind it that nothing in `root` is called."""
    name, number = wanted, 2
    while is_taken(root, name):
        name, number = f"{wanted}{number}", number + 1
    return name


def is_taken(root: nn.Module, path: str) -> bool:
    """Whether `root` has a module, parameter or buffer of this dotted name."""
    value: Any = root
    for part in path.split("."):
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def _constants(node: fx.Node) -> str:
    return repr((node.args, node.kwargs))


def _disagreement(root: fx.GraphModule, here: list[fx.Node], there: list[fx.Node]) -> GraphError:
    pairs = [(a, b) for a, b in zip(here, there, strict=False) if (a.op, a.target) != (b.op, b.target)]
    a, b = pairs[0] if pairs else (here[-1], there[-1])
    return GraphError(
        f"{type(root).__name__}: forward takes different paths in train and eval mode",
        where=f"node {a.name}",
        expected="the same operations in both modes",
        found=f"train: {a.format_node()}; eval: {b.format_node()}",
        hint="use modules (nn.Dropout, nn.BatchNorm2d), which know their mode",
    )


def _shapes(
    root: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, Shape], frozenset[str]]:
    """Shapes at two batch sizes: a first dimension that does not follow the batch is no batch dimension."""
    small, large = (_run_shapes(root, resize_batch(args, n), resize_batch(kwargs, n)) for n in (2, 3))
    shapes = {name: shape[1:] for name, shape in small.items()}
    strange = {
        name
        for name, shape in small.items()
        if not shape or not large[name] or (shape[0], large[name][0]) != (2, 3) or shape[1:] != large[name][1:]
    }
    return shapes, frozenset(strange)


def _run_shapes(root: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Shape]:
    ordered = _ordered(root, args, kwargs)
    propagate = ShapeProp(root)
    try:
        # ShapeProp prints the traceback on its own before it raises.
        with evaluating(root), contextlib.redirect_stderr(io.StringIO()):
            propagate.propagate(*ordered)
    except DepthprobeError:
        raise
    except Exception as error:
        cause = str(error.__cause__ or error).split("While executing")[0].strip()
        raise GraphError(
            f"the model does not run on an input of shape {describe_inputs(ordered)}: {cause}",
            where=_failing(root, propagate),
            hint="check the model's input channels and size against the data (depthprobe inspect MODEL --dataset ...)",
        ) from error
    return {
        node.name: tuple(node.meta["tensor_meta"].shape)
        for node in root.graph.nodes
        if isinstance(node.meta.get("tensor_meta"), fx.passes.shape_prop.TensorMetadata)
    }


def _ordered(root: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The inputs by position, as forward takes them; its own defaults where none is given."""
    inputs = {str(node.target): node for node in root.graph.nodes if node.op == "placeholder"}
    rest = list(inputs)[len(args) :]
    if len(args) > len(inputs) or not set(kwargs) <= set(rest):
        given = [f"{len(args)} by position"] * bool(args) + list(kwargs)
        raise GraphError("example_inputs does not fit forward", expected=", ".join(inputs), found=", ".join(given))
    missing = [name for name in rest if name not in kwargs and not inputs[name].args]
    if missing:
        raise GraphError("example_inputs does not fit forward", expected=", ".join(inputs), found=f"no {missing[0]}")
    return [*args, *(kwargs[name] if name in kwargs else inputs[name].args[0] for name in rest)]


def _failing(root: fx.GraphModule, propagate: ShapeProp) -> str | None:
    for node in root.graph.nodes:
        if node not in propagate.env and node.op not in ("placeholder", "output"):
            return f"{node.op} {node.target}"
    return None
