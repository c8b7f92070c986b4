"""Shapes of everything in a graph, from running it at two batch sizes."""

import contextlib
import io
from typing import Any

from torch import fx
from torch.fx.passes.shape_prop import ShapeProp

from depthprobe.errors import DepthprobeError, GraphError
from depthprobe.graph.example import check_fit, describe_inputs, evaluating, resize_batch

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
    propagate = _Propagation(root)
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
            where=propagate.where,
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
    check_fit({name: bool(node.args) for name, node in inputs.items()}, args, kwargs)
    rest = list(inputs)[len(args) :]
    return [*args, *(kwargs[name] if name in kwargs else inputs[name].args[0] for name in rest)]


class _Propagation(ShapeProp):
    where = ""  # of the node that runs: the path of a module, else the node's name

    def run_node(self, n: fx.Node) -> Any:
        """Asked by torch.fx for every node in turn."""
        self.where = str(n.target) if n.op == "call_module" else n.name
        return super().run_node(n)
