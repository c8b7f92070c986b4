"""Shapes of everything in a graph, from running it at two batch sizes."""

import contextlib
import io
from typing import Any

from torch import fx
from torch.fx.passes.shape_prop import ShapeProp

from depthprobe.errors import DepthprobeError, GraphError
from depthprobe.graph.example import describe_inputs, evaluating, resize_batch

Shape = tuple[int, ...]


def find_shapes(
    root: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, Shape], frozenset[str]]:
    """Shapes at two batch sizes: a first dimension that does not follow the batch is no batch dimension."""
    small, large = (_runfind_shapes(root, resize_batch(args, n), resize_batch(kwargs, n)) for n in (2, 3))
    shapes = {name: shape[1:] for name, shape in small.items()}
    strange = {
        name
        for name, shape in small.items()
        if not shape or not large[name] or (shape[0], large[name][0]) != (2, 3) or shape[1:] != large[name][1:]
    }
    return shapes, frozenset(strange)


def _runfind_shapes(root: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Shape]:
    ordered = ordered_inputs(root, args, kwargs)
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


def ordered_inputs(root: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
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
