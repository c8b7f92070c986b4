"""Stretches of a graph: a weight layer with the nodes that serve it, in modules or in functions."""

from torch import fx, nn

from depthprobe.graph.functional import as_module
from depthprobe.graph.layer_types import DROPOUTS, REMIXES
from depthprobe.graph.refusals import Facts
from depthprobe.graph.roles import fits, has_weights, role_of
from depthprobe.graph.trace import Traced

_WRITERS = ("iadd", "isub", "imul", "itruediv", "setitem")


def module_of(traced: Traced, node: fx.Node) -> nn.Module | None:
    """The module a node calls, or that its functional call stands for; None for anything else.

    Functional dropout that knew its mode is a module already (see `trace`): what is left drops always or never.
    """
    if node.op == "call_module":
        return traced.root.get_submodule(str(node.target))
    module = as_module(node)
    return None if module is None or isinstance(module, DROPOUTS) else module.train(traced.original.training)


def find_stretch(facts: Facts, first: fx.Node) -> tuple[list[fx.Node], list[str]]:
    """The nodes of the unit that `first` opens: norm, activation, dropout, pooling in between, each at most once."""
    nodes, roles = [first], ["linear" if isinstance(module_of(facts.traced, first), nn.Linear) else "conv"]
    keep = 1
    while True:
        users = list(nodes[-1].users)
        if len(users) != 1 or len(users[0].all_input_nodes) != 1:
            break
        module = module_of(facts.traced, users[0])
        role = role_of(module)
        if role is None or not fits(role, roles) or (facts.calls[id(module)] > 1 and has_weights(module)):
            break
        nodes.append(users[0])
        roles.append(role)
        if role != "pooling":
            keep = len(nodes)
    return nodes[:keep], roles[:keep]


def writes(traced: Traced, node: fx.Node) -> bool:
    """Whether the node overwrites what it reads."""
    if node.op == "call_module":
        block = traced.blocks.get(str(node.target))
        module = traced.root.get_submodule(str(node.target))
        return block.spoils if block is not None else bool(getattr(module, "inplace", False))
    name = getattr(node.target, "__name__", str(node.target))
    return bool(node.kwargs.get("inplace")) or name.endswith("_") or name in _WRITERS


def leads_to_output(traced: Traced, last: fx.Node) -> bool:
    """Whether only weightless nodes lie between `last` and the output: its width is the number of outputs."""
    frontier, seen = [last], set()
    while frontier:
        for user in frontier.pop().users:
            if user in seen:
                continue
            seen.add(user)
            module = traced.root.get_submodule(str(user.target)) if user.op == "call_module" else None
            if user.target in traced.blocks or isinstance(module, REMIXES):
                return False
            frontier.append(user)
    return True
