"""Units and sites: the stretches of a model that can be repeated or left out, and why the others cannot."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from depthprobe.graph.blocks import Block, Shape
from depthprobe.graph.functional import as_module
from depthprobe.graph.layer_types import DROPOUTS, REMIXES, WEIGHT_LAYERS
from depthprobe.graph.roles import fits, has_weights, role_of, squashes
from depthprobe.graph.run import Run
from depthprobe.graph.trace import Traced, trace

_WRITERS = ("iadd", "isub", "imul", "itruediv", "setitem")


@dataclass(frozen=True)
class Unit:
    """The smallest stretch of a model that makes sense to repeat or leave out.

    name: the module path of the block, or of the weight layer that opens the stretch. kind: "conv" or "linear" for a
    stretch; "residual" (adds its input back), "transformer" (attends), "recurrent" or "block" (any other) for a
    module that is a unit as a whole. in_shape, out_shape: of the stream, without the batch. growable / shrinkable /
    narrowable, and the reason why the first of them that is False is so ("" when all hold).
    nodes: names of its fx nodes in order of the data flow (none without a graph); roles: of its layers.
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


def units(model: nn.Module, example_inputs: Any, tracer: str = "auto") -> list[Unit]:
    """All units of `model`, in order of the data flow.

    example_inputs: a tensor, a tuple of positional or a dict of keyword arguments; tracer: "auto", "fx" or "modules".
    Raises GraphError when the model cannot be traced. The model is left as found.
    """
    return find_units(trace(model, example_inputs, tracer))


def find_units(traced: Traced) -> list[Unit]:
    """Units of a traced model, in order of the data flow."""
    modules = dict(traced.root.named_modules())
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, module in modules.items():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((name, module))
    if traced.tracer == "modules":
        return _units_in_place(_Facts(traced, modules, Counter(), owners))
    calls = Counter(id(modules[node.target]) for node in traced.graph.nodes if node.op == "call_module")
    facts = _Facts(traced, modules, calls, owners)
    found = []
    nodes = traced.graph.find_nodes(op="call_module")
    first = {str(node.target): node for node in reversed(nodes)}
    for node in nodes:
        block = traced.blocks.get(str(node.target))
        if block is not None and node is first[block.name]:
            found.append(_block_unit(facts, block, (node.name,)))
        elif block is None and isinstance(modules[node.target], WEIGHT_LAYERS):
            found.append(_unit(facts, node))
    return found


def _units_in_place(facts: "_Facts") -> list[Unit]:
    """Blocks and runs, in order of their calls."""
    runs = facts.traced.runs
    found = [(runs.begun.get(block.name, block.begun), _block_unit(facts, block, ())) for block in
             facts.traced.blocks.values()]  # fmt: skip
    found += [(run.begun, _run_unit(facts, run)) for run in runs.found.values()]
    return [unit for _, unit in sorted(found, key=lambda entry: entry[0])]


@dataclass(frozen=True)
class _Facts:
    """What every unit's judgement needs, gathered once. calls, owners: by the id of a module, of a parameter."""

    traced: Traced
    modules: dict[str, nn.Module]
    calls: Counter[int]
    owners: dict[int, list[tuple[str, nn.Module]]]


def unit_nodes(traced: Traced, unit: Unit) -> list[fx.Node]:
    """The fx nodes of `unit` in order: a chain, each the only user of the one before."""
    nodes = traced.graph.find_nodes(op="call_module", target=unit.name)[:1]
    while len(nodes) < len(unit.nodes):
        nodes.append(next(iter(nodes[-1].users)))
    return nodes


def layers_of(traced: Traced, unit: Unit) -> list[nn.Module | None]:
    """The layers of a stretch in order, one per role; a functional call as the module it stands for (None: unknown)."""
    if unit.name in traced.runs.found:
        return list(traced.runs.found[unit.name].layers)
    return [module_of(traced, node) for node in unit_nodes(traced, unit)]


def tail_of(traced: Traced, unit: Unit) -> int:
    """How many of its last layers forward calls by itself, behind whatever stands in the unit's place."""
    run = traced.runs.found.get(unit.name)
    return 0 if run is None else run.tail


def is_overwritten(traced: Traced, unit: Unit) -> bool:
    """Whether what the unit returns is changed in place later: a bypass must not hand out its very input then."""
    block = traced.blocks.get(unit.name)
    if block is not None:
        return block.overwritten
    if unit.name in traced.runs.found:
        return traced.runs.found[unit.name].overwritten
    return any(_writes(traced, user) for user in unit_nodes(traced, unit)[-1].users)


def _writes(traced: Traced, node: fx.Node) -> bool:
    if node.op == "call_module":
        block = traced.blocks.get(str(node.target))
        module = traced.root.get_submodule(str(node.target))
        return block.spoils if block is not None else bool(getattr(module, "inplace", False))
    name = getattr(node.target, "__name__", str(node.target))
    return bool(node.kwargs.get("inplace")) or name.endswith("_") or name in _WRITERS


def module_of(traced: Traced, node: fx.Node) -> nn.Module | None:
    """The module a node calls, or that its functional call stands for; None for anything else.

    Functional dropout that knew its mode is a module already (see `trace`): what is left drops always or never.
    """
    if node.op == "call_module":
        return traced.root.get_submodule(str(node.target))
    module = as_module(node)
    return None if module is None or isinstance(module, DROPOUTS) else module.train(traced.original.training)


def _block_unit(facts: _Facts, block: Block, nodes: tuple[str, ...]) -> Unit:
    module, others = facts.modules[block.name], list(facts.traced.blocks.values())
    shared = _shared_weights(facts, module)
    common = f"shares its weight with {shared}" if shared else ""
    if block.last and block.in_shape != block.out_shape:
        common = common or "it is the model's output"
    grow = common or ("" if template_of(facts.modules, block, others) else _no_template(module, block))
    if block.beside and not grow:
        grow = f"a copy's {block.beside} would do nothing: it makes what the unit returns beside the stream"
    shrink = common or _skip_refusal(block)
    return Unit(
        name=block.name,
        kind=block.kind,
        in_shape=block.in_shape,
        out_shape=block.out_shape,
        growable=not grow,
        shrinkable=not shrink,
        narrowable=False,
        reason=grow or shrink or "not narrowable: its width is its neighbours' too",
        nodes=nodes,
        roles=(type(module).__name__,),
        params=sum(p.numel() for p in module.parameters()),
    )


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


def _no_template(module: nn.Module, block: Block) -> str:
    return (
        f"it turns {block.in_shape} into {block.out_shape}, "
        f"and no other {type(module).__name__} keeps {block.out_shape}, so a copy cannot be made"
    )


def _skip_refusal(block: Block) -> str:
    wiring = block.wiring
    if wiring.made and not wiring.states:
        return f"it returns more than the stream ({len(wiring.made)} tensors), which only it can make"
    if wiring.batch and block.in_shape != block.out_shape:
        return f"a bypass cannot turn {block.in_shape} into {block.out_shape}: the batch is not the first dimension"
    return _shrink_refusal(block.in_shape, block.out_shape)


def _unit(facts: _Facts, first: fx.Node) -> Unit:
    traced, modules = facts.traced, facts.modules
    layer = modules[str(first.target)]
    nodes, roles = _stretch(facts, first)
    source = first.all_input_nodes[0]
    is_output = _is_output(traced, nodes[-1])
    return _layer_unit(
        layer,
        str(first.target),
        (traced.shapes[source.name], traced.shapes[nodes[-1].name]),
        _common_refusal(facts, [source, *nodes], layer) or ("it is the model's output" if is_output else ""),
        roles,
        [modules[str(node.target)] for node in nodes if node.op == "call_module"],
        tuple(node.name for node in nodes),
    )


def _run_unit(facts: _Facts, run: Run) -> Unit:
    layers = [place.module for place in run.places]
    shared = _shared_weights(facts, layers[0])
    common = run.reason or (f"shares its weight with {shared}" if shared else "")
    return _layer_unit(layers[0], run.name, (run.in_shape, run.out_shape), common, run.roles, layers, ())


def _layer_unit(
    layer: nn.Module, name: str, shapes: tuple[Shape, Shape], common: str, roles: Sequence[str],
    layers: Iterable[nn.Module], nodes: tuple[str, ...],
) -> Unit:  # fmt: skip
    """The unit that `layer` opens. shapes: in and out; common: why nothing can be done with it; layers: all of it."""
    grow = common or _own_kind(layer)
    grow = grow or ("" if squashes(roles) else "no activation after it: a copy would add no depth")
    shrink = common or _shrink_refusal(*shapes)
    return Unit(
        name=name,
        kind="linear" if isinstance(layer, nn.Linear) else "conv",
        in_shape=shapes[0],
        out_shape=shapes[1],
        growable=not grow,
        shrinkable=not shrink,
        narrowable=not common,
        reason=grow or shrink,
        nodes=nodes,
        roles=tuple(roles),
        params=sum(p.numel() for module in layers for p in module.parameters()),
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
        role = role_of(module)
        if role is None or not fits(role, roles) or (facts.calls[id(module)] > 1 and has_weights(module)):
            break
        nodes.append(users[0])
        roles.append(role)
        if role != "pooling":
            keep = len(nodes)
    return nodes[:keep], roles[:keep]


def _common_refusal(facts: _Facts, nodes: list[fx.Node], layer: nn.Module) -> str:
    if facts.calls[id(layer)] > 1:
        return f"shared: called {facts.calls[id(layer)]} times in forward"
    shared = _shared_weights(facts, layer)
    if shared:
        return f"shares its weight with {shared}"
    if any(node.name in facts.traced.unbatched for node in nodes):
        return "its first dimension is not the batch"
    return ""


def _shared_weights(facts: _Facts, layer: nn.Module) -> str:
    mine = set(layer.modules())  # with its parametrizations, or the layers of a block
    names = [name for p in layer.parameters() for name, owner in facts.owners[id(p)] if owner not in mine]
    return names[0] if names else ""


def _own_kind(layer: nn.Module) -> str:
    """A layer of the user's own class: torch knows how to make another of its own only."""
    plain = type(layer).__module__.startswith("torch.nn")
    return "" if plain else f"a {type(layer).__name__} cannot be copied: only torch's own layers are made anew"


def _shrink_refusal(in_shape: Shape, out_shape: Shape) -> str:
    if len(in_shape) != len(out_shape) or (len(in_shape) > 4 and in_shape[1:] != out_shape[1:]):
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
            if user.target in traced.blocks or isinstance(module, REMIXES):
                return False
            frontier.append(user)
    return True
