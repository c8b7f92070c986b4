"""A network as one flat graph: leaves of torch.nn under plain names, `self.training` where the two modes differ."""

import copy
import keyword
import operator
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_aggregate

from depthprobe.errors import GraphError

_TAKEN = frozenset(dir(nn.Module())) | {"self", "torch", "nn", "F"}


def flatten(net: nn.Module) -> fx.GraphModule:
    """A copy of `net` whose graph calls torch.nn modules only, each an attribute of the root: layer1.0.conv1 becomes
    layer1_0_conv1.

    Arguments that are True in training and False in evaluation read `self.training`. Where the paths themselves
    differ, the evaluated one is taken. Raises GraphError for a network that torch.fx cannot follow.
    """
    net = copy.deepcopy(net)
    trained, evaluated = (_trace(net.train(mode)) for mode in (True, False))
    if [(n.op, n.target) for n in trained.nodes] == [(n.op, n.target) for n in evaluated.nodes]:
        _follow_mode(trained, evaluated)
    _drop_checks(evaluated)
    return _renamed(net.eval(), evaluated)


def _trace(net: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(net)
    except Exception as error:
        raise GraphError(
            f"{type(net).__name__} cannot be written as code: torch.fx cannot follow its forward",
            where=f"{type(net).__module__}.{type(net).__qualname__}.forward",
            found=str(error),
            hint="--format pt, safetensors or onnx",
        ) from error


def _follow_mode(trained: fx.Graph, evaluated: fx.Graph) -> None:
    for one, two in zip(trained.nodes, evaluated.nodes, strict=True):
        if _constants(one) == _constants(two):
            continue
        with evaluated.inserting_before(two):
            mode = evaluated.create_node("get_attr", "training", name="training")
        two.args = _swap(one.args, two.args, mode)
        two.kwargs = _swap(one.kwargs, two.kwargs, mode)


def _swap(trained: Any, evaluated: Any, mode: fx.Node) -> Any:
    """`evaluated`, with `mode` wherever the trained one says True and it says False."""
    if isinstance(evaluated, (tuple, list)):
        return type(evaluated)(_swap(a, b, mode) for a, b in zip(trained, evaluated, strict=True))
    if isinstance(evaluated, dict):
        return {key: _swap(trained[key], value, mode) for key, value in evaluated.items()}
    return mode if trained is True and evaluated is False else evaluated


def _constants(node: fx.Node) -> str:
    return str(map_aggregate((node.args, node.kwargs), lambda a: a.name if isinstance(a, fx.Node) else a))


def _drop_checks(graph: fx.Graph) -> None:
    """Assertions go, what was computed for them alone, and sizes and parts that nobody reads."""
    for node in [n for n in graph.nodes if n.target is torch._assert]:
        _erase(graph, node)
    for node in reversed(graph.nodes):
        if not node.users and node.target in (getattr, operator.getitem):
            graph.erase_node(node)


def _erase(graph: fx.Graph, node: fx.Node) -> None:
    inputs = [n for n in node.all_input_nodes if n.op != "placeholder"]
    graph.erase_node(node)
    for value in inputs:
        if not value.users and value.op in ("call_function", "call_method", "get_attr") and not _changes(value):
            _erase(graph, value)


def _changes(node: fx.Node) -> bool:
    """Whether the call may change its input in place."""
    return node.op == "call_method" and str(node.target).endswith("_")


def _renamed(net: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """The graph over a flat root. Modules and tensors that are used under several names keep the first."""
    root, names = nn.Module(), dict[int, str]()
    for node in graph.nodes:
        if node.op not in ("call_module", "get_attr") or (node.op == "get_attr" and node.target == "training"):
            continue
        value = _attribute(net, str(node.target))
        if id(value) not in names:
            names[id(value)] = _free(str(node.target), names.values())
            _put(root, names[id(value)], value)
        node.target = names[id(value)]
    return fx.GraphModule(root, graph, _class_name(net))


def _attribute(net: nn.Module, path: str) -> Any:
    value: Any = net
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _put(root: nn.Module, name: str, value: Any) -> None:
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        root.register_buffer(name, value)
    else:
        setattr(root, name, value)


def _free(path: str, taken: Any) -> str:
    name = re.sub(r"\W", "_", path)
    name = f"layer_{name}" if name[0].isdigit() or keyword.iskeyword(name) or name in _TAKEN else name
    return next(choice for choice in _numbered(name) if choice not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _class_name(net: nn.Module) -> str:
    name = type(net).__name__
    return "Network" if name in ("GraphModule", "Sequential", "Module") or not name.isidentifier() else name
