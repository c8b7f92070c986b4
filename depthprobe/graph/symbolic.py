"""A forward followed by torch.fx: its graph, which must be the same in train and eval mode, or where it cannot be."""

import inspect
from collections.abc import Mapping
from pathlib import Path

from torch import fx, nn

from depthprobe.errors import GraphError
from depthprobe.graph.functional import as_module
from depthprobe.graph.layer_types import ACTIVATIONS, DROPOUTS, NORMS, WEIGHT_LAYERS
from depthprobe.graph.names import free_name, is_taken

_LAYERS = (*WEIGHT_LAYERS, *NORMS, *ACTIVATIONS, DROPOUTS)  # leaves also where a library derives its own from them


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


def follow_forward(model: nn.Module, training: bool, blocks: frozenset[str]) -> fx.Graph:
    """The graph of forward in train or eval mode, in which the model stays. blocks: names of modules that are leaves.

    Raises GraphError with the line of the user's source where torch.fx cannot follow it.
    """
    model.train(training)
    try:
        return _Tracer(blocks).trace(model)
    except Exception as error:
        raise GraphError(
            f"torch.fx cannot follow {type(model).__name__}.forward: {error}",
            where=source_of(error, model),
            expected="a forward without control flow on tensor values",
            hint="move the branch out of forward, or into a module of its own that takes and returns one tensor",
        ) from error


def source_of(error: BaseException, model: nn.Module) -> str:
    """`file:line` of the last frame in the model's own file, else of the first one that is not torch's or ours."""
    try:
        home = inspect.getsourcefile(type(model))
    except TypeError:
        home = None
    place = ""
    trace_back = error.__traceback__
    while trace_back is not None:
        frame = trace_back.tb_frame.f_code
        elsewhere = "/torch/" in frame.co_filename or Path(frame.co_filename).parent == Path(__file__).parent
        if frame.co_filename == home or not (place or elsewhere):
            place = f"{frame.co_filename}:{trace_back.tb_lineno}"
        trace_back = trace_back.tb_next
    return place or type(model).__name__


def restore_modes(module: nn.Module, flags: Mapping[str, bool]) -> None:
    """Per-module training flags as the user set them (a frozen BatchNorm stays frozen)."""
    for name, child in module.named_modules():
        child.training = flags.get(name, flags[""])


def carry_constants(scratch: nn.Module, original: nn.Module, graph: fx.Graph) -> None:
    """Tensors that forward makes from nothing, which fx keeps at the root that it traced."""
    for node in graph.find_nodes(op="get_attr"):
        if not is_taken(original, str(node.target)):
            setattr(original, str(node.target), getattr(scratch, str(node.target)))


def mend_dropout(root: fx.GraphModule, evaluated: fx.Graph) -> None:
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
