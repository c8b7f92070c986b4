"""A model becomes a graph: torch.fx traces in train and eval that agree, with the shape of every value."""

import contextlib
import copy
import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from depthprobe.errors import DepthprobeError, GraphError
from depthprobe.graph.functional import as_module

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Traced:
    """A traced copy of a model.

    original: the deep copy that was traced; its parameters are the graph's. graph: nodes named by fx.
    shapes: for every tensor-valued node its shape without the batch dimension; nodes missing here are no
    tensors. unbatched: nodes whose first dimension is not the batch. example: the inputs, as (args, kwargs).
    """

    original: nn.Module
    root: fx.GraphModule
    shapes: dict[str, Shape]
    unbatched: frozenset[str]
    example: tuple[tuple[Any, ...], dict[str, Any]]

    @property
    def graph(self) -> fx.Graph:
        """The traced graph; do not edit it, build a new one."""
        return self.root.graph


def split_inputs(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Tensor, tuple of positional or dict of keyword arguments -> (args, kwargs)."""
    if isinstance(example_inputs, Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, (tuple, list)):
        return tuple(example_inputs), {}
    raise GraphError(
        "example_inputs has the wrong type",
        expected="a tensor, a tuple of positional arguments or a dict of keyword arguments",
        found=type(example_inputs).__name__,
        hint="dp.units(model, torch.randn(2, 3, 32, 32))",
    )


def trace(model: nn.Module, example_inputs: Any) -> Traced:
    """Trace a deep copy of `model`; the model itself is left as found.

    example_inputs: tensor, tuple or dict with a batch of any size. Raises GraphError when fx cannot follow
    `forward`, when train and eval differ in more than functional dropout, or when the input does not fit.
    """
    args, kwargs = split_inputs(example_inputs)
    original = copy.deepcopy(model)
    flags = {name: module.training for name, module in original.named_modules()}
    graphs = {mode: _symbolic(original, mode) for mode in (True, False)}
    _restore(original, flags)
    root = fx.GraphModule(original, graphs[True], type(original).__name__)
    _mend_dropout(root, graphs[False])
    _restore(root, flags)
    shapes, unbatched = _shapes(root, args, kwargs)
    return Traced(original, root, shapes, unbatched, (args, kwargs))


def _symbolic(model: nn.Module, training: bool) -> fx.Graph:
    model.train(training)
    try:
        return fx.Tracer().trace(model)
    except Exception as error:
        raise GraphError(
            f"torch.fx cannot follow {type(model).__name__}.forward: {error}",
            where=_source_of(error, model),
            expected="a forward without control flow on tensor values",
            hint="move the branch out of forward, or put it in a module marked as a leaf",
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
    small, large = (_run_shapes(root, _batch(args, n), _batch(kwargs, n)) for n in (2, 3))
    shapes = {name: shape[1:] for name, shape in small.items()}
    strange = {
        name
        for name, shape in small.items()
        if not shape or not large[name] or (shape[0], large[name][0]) != (2, 3) or shape[1:] != large[name][1:]
    }
    return shapes, frozenset(strange)


def _batch(values: Any, size: int) -> Any:
    if isinstance(values, Tensor):
        if values.ndim and not len(values):
            raise GraphError("example_inputs holds no example", found=f"a tensor of shape {tuple(values.shape)}")
        return values[:1].expand(size, *values.shape[1:]).contiguous() if values.ndim else values
    if isinstance(values, dict):
        return {key: _batch(value, size) for key, value in values.items()}
    if isinstance(values, (tuple, list)):
        return type(values)(_batch(value, size) for value in values)
    return values


def _run_shapes(root: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Shape]:
    ordered = _ordered(root, args, kwargs)
    modes = {name: module.training for name, module in root.named_modules()}
    buffers = {name: value.clone() for name, value in root.named_buffers()}
    propagate = ShapeProp(root)
    try:
        root.eval()
        # ShapeProp prints the traceback on its own before it raises.
        with torch.no_grad(), torch.random.fork_rng(devices=[]), contextlib.redirect_stderr(io.StringIO()):
            propagate.propagate(*ordered)
    except DepthprobeError:
        raise
    except Exception as error:
        cause = str(error.__cause__ or error).split("While executing")[0].strip()
        shape = ", ".join(str(tuple(v.shape)) for v in ordered if isinstance(v, Tensor))
        raise GraphError(
            f"the model does not run on an input of shape {shape}: {cause}",
            where=_failing(root, propagate),
            hint="check the model's input channels and size against the data (depthprobe inspect MODEL --dataset ...)",
        ) from error
    finally:
        for name, module in root.named_modules():
            module.training = modes[name]
        for name, value in root.named_buffers():
            value.copy_(buffers[name])
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
