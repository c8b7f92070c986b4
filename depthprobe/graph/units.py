"""Units and sites: the stretches of a model that can be repeated or left out, and why the others cannot."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from depthprobe.graph.functional import as_module
from depthprobe.graph.trace import Shape, Traced, trace

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_WEIGHT_LAYERS = (*_CONVS, nn.Linear)
_NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LocalResponseNorm, nn.RMSNorm,
)  # fmt: skip
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
    nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign, nn.LogSigmoid,
)  # fmt: skip
_DROPOUTS = nn.modules.dropout._DropoutNd
_POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip
_LATER = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Transformer)
_REMIXES = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, *_LATER)  # what comes before one is no output head
SHAPE_READERS = ("size", "dim", "numel", "ndimension", "new_zeros", "new_ones", "type_as")


@dataclass(frozen=True)
class Unit:
    """The smallest stretch of a model that makes sense to repeat or leave out.

    name: the module path of its weight layer; kind: "conv" or "linear"; in_shape, out_shape: without the batch;
    growable / shrinkable / narrowable, and the reason where one is False ("" when all hold).
    nodes: names of its fx nodes in order of the data flow; layers: the roles beside them.
    """

    name: str
    kind: str
    in_shape: Shape
    out_shape: Shape
    growable: bool
    shrinkable: bool
    narrowable: bool
    reason: str
    nodes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    params: int = 0

    @property
    def layers(self) -> str:
        """Its layers in words, e.g. "conv + norm + activation"."""
        return " + ".join(self.roles)


def units(model: nn.Module, example_inputs: Any) -> list[Unit]:
    """All units of `model`, in order of the data flow.

    example_inputs: a tensor, a tuple of positional or a dict of keyword arguments. Raises GraphError when the
    model cannot be traced. The model is left as found.
    """
    return find_units(trace(model, example_inputs))


def find_units(traced: Traced) -> list[Unit]:
    """Units of a traced model, in order of the data flow."""
    modules = dict(traced.root.named_modules())
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, module in modules.items():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((name, module))
    calls = Counter(id(modules[node.target]) for node in traced.graph.nodes if node.op == "call_module")
    facts = _Facts(traced, modules, calls, owners, forks_and_joins(traced))
    return [
        _unit(facts, node)
        for node in traced.graph.nodes
        if node.op == "call_module" and isinstance(modules[node.target], _WEIGHT_LAYERS)
    ]


@dataclass(frozen=True)
class _Facts:
    """What every unit's judgement needs, gathered once. calls, owners: by the id of a module, of a parameter."""

    traced: Traced
    modules: dict[str, nn.Module]
    calls: Counter[int]
    owners: dict[int, list[tuple[str, nn.Module]]]
    knots: list[str]


def unit_nodes(traced: Traced, unit: Unit) -> list[fx.Node]:
    """The fx nodes of `unit` in order: a chain, each the only user of the one before."""
    nodes = traced.graph.find_nodes(op="call_module", target=unit.name)[:1]
    while len(nodes) < len(unit.nodes):
        nodes.append(next(iter(nodes[-1].users)))
    return nodes


def forks_and_joins(traced: Traced) -> list[str]:
    """Nodes where paths part or meet, or that hide a structure of their own: not a plain feed-forward chain."""
    modules = dict(traced.root.named_modules())
    found = []
    for node in traced.graph.nodes:
        inputs = {n.name for n in node.all_input_nodes if n.name in traced.shapes and n.op != "get_attr"}
        if node.op != "output" and len(inputs) > 1 and node.target not in SHAPE_READERS:
            found.append(f"{node.name} joins {len(inputs)} paths")
        elif node.op == "call_module" and isinstance(modules[node.target], _LATER):
            found.append(f"{node.target} is a {type(modules[node.target]).__name__}")
        elif node.op == "output" and not (isinstance(node.args[0], fx.Node) and node.args[0].name in traced.shapes):
            found.append("the output is not one tensor")
    return found


def module_of(traced: Traced, node: fx.Node) -> nn.Module | None:
    """The module a node calls, or that its functional call stands for; None for anything else.

    Functional dropout that knew its mode is a module already (see `trace`): what is left drops always or never.
    """
    if node.op == "call_module":
        return traced.root.get_submodule(str(node.target))
    module = as_module(node)
    return None if isinstance(module, _DROPOUTS) else module


def _unit(facts: _Facts, first: fx.Node) -> Unit:
    traced, modules = facts.traced, facts.modules
    layer = modules[str(first.target)]
    nodes, roles = _stretch(facts, first)
    source = first.all_input_nodes[0]
    in_shape, out_shape = traced.shapes[source.name], traced.shapes[nodes[-1].name]
    params = sum(
        p.numel() for node in nodes if node.op == "call_module" for p in modules[str(node.target)].parameters()
    )
    is_output = _is_output(traced, nodes[-1])
    common = _common_refusal(facts, [source, *nodes], layer) or ("it is the model's output" if is_output else "")
    grow = common or ("" if "activation" in roles else "no activation after it: a copy would add no depth")
    shrink = common or _shrink_refusal(in_shape, out_shape)
    return Unit(
        name=str(first.target),
        kind="linear" if isinstance(layer, nn.Linear) else "conv",
        in_shape=in_shape,
        out_shape=out_shape,
        growable=not grow,
        shrinkable=not shrink,
        narrowable=not common,
        reason=grow or shrink,
        nodes=tuple(node.name for node in nodes),
        roles=tuple(roles),
        params=params,
    )


def _stretch(facts: _Facts, first: fx.Node) -> tuple[list[fx.Node], list[str]]:
    """The nodes of the unit that `first` opens: norm, activation, dropout, pooling in between, each at most once."""
    nodes, roles = [first], ["linear" if isinstance(module_of(facts.traced, first), nn.Linear) else "conv"]
    keep = 1
    while True:
        users = list(nodes[-1].users)
        if len(users) != 1 or len(users[0].all_input_nodes) != 1:
            break
        module = module_of(facts.traced, users[0])
        role = _role(module)
        if role is None or role in roles or (facts.calls[id(module)] > 1 and _weighs(module)):
            break
        nodes.append(users[0])
        roles.append(role)
        if role != "pooling":
            keep = len(nodes)
    return nodes[:keep], roles[:keep]


def _weighs(module: nn.Module | None) -> bool:
    return module is not None and any(True for _ in module.parameters())


def _role(module: nn.Module | None) -> str | None:
    if isinstance(module, _NORMS):
        return "norm"
    if isinstance(module, _ACTIVATIONS):
        return "activation"
    if isinstance(module, _DROPOUTS):
        return "dropout"
    if isinstance(module, _POOLS):
        return "pooling"
    return None


def _common_refusal(facts: _Facts, nodes: list[fx.Node], layer: nn.Module) -> str:
    if facts.calls[id(layer)] > 1:
        return f"shared: called {facts.calls[id(layer)]} times in forward"
    shared = _shared_weights(facts, layer)
    if shared:
        return f"shares its weight with {shared}"
    if any(node.name in facts.traced.unbatched for node in nodes):
        return "its first dimension is not the batch"
    if facts.knots:
        return f"not a plain feed-forward chain ({facts.knots[0]}); branched, residual and recurrent models come later"
    return ""


def _shared_weights(facts: _Facts, layer: nn.Module) -> str:
    mine = set(layer.modules())  # with its parametrizations
    names = [name for p in layer.parameters() for name, owner in facts.owners[id(p)] if owner not in mine]
    return names[0] if names else ""


def _shrink_refusal(in_shape: Shape, out_shape: Shape) -> str:
    if len(in_shape) != len(out_shape):
        return f"a bypass cannot turn {in_shape} into {out_shape}"
    return ""


def _is_output(traced: Traced, last: fx.Node) -> bool:
    """Whether only weightless nodes lie between `last` and the output: its width is the number of outputs."""
    frontier, seen = [last], set()
    while frontier:
        for user in frontier.pop().users:
            if user in seen:
                continue
            seen.add(user)
            module = traced.root.get_submodule(str(user.target)) if user.op == "call_module" else None
            if isinstance(module, _REMIXES):
                return False
            frontier.append(user)
    return True
