"""Units and sites: the stretches of a model that can be repeated or left out, and why the others cannot."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from depthprobe.graph.blocks import Block, Shape
from depthprobe.graph.layer_types import WEIGHT_LAYERS
from depthprobe.graph.refusals import (
    Facts,
    foreign_kind,
    layer_refusal,
    no_template,
    shape_refusal,
    shared_weights,
    skip_refusal,
    template_of,
)
from depthprobe.graph.roles import squashes
from depthprobe.graph.run import Run
from depthprobe.graph.stretches import find_stretch, leads_to_output, module_of, writes
from depthprobe.graph.trace import Traced, trace


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
        return _units_in_place(Facts(traced, modules, Counter(), owners))
    calls = Counter(id(modules[node.target]) for node in traced.graph.nodes if node.op == "call_module")
    facts = Facts(traced, modules, calls, owners)
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


def _units_in_place(facts: Facts) -> list[Unit]:
    """Blocks and runs, in order of their calls."""
    runs = facts.traced.runs
    found = [(runs.begun.get(block.name, block.begun), _block_unit(facts, block, ())) for block in
             facts.traced.blocks.values()]  # fmt: skip
    found += [(run.begun, _run_unit(facts, run)) for run in runs.found.values()]
    return [unit for _, unit in sorted(found, key=lambda entry: entry[0])]


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
    return any(writes(traced, user) for user in unit_nodes(traced, unit)[-1].users)


def _block_unit(facts: Facts, block: Block, nodes: tuple[str, ...]) -> Unit:
    module, others = facts.modules[block.name], list(facts.traced.blocks.values())
    shared = shared_weights(facts, module)
    common = f"shares its weight with {shared}" if shared else ""
    if block.last and block.in_shape != block.out_shape:
        common = common or "it is the model's output"
    grow = common or ("" if template_of(facts.modules, block, others) else no_template(module, block))
    if block.beside and not grow:
        grow = f"a copy's {block.beside} would do nothing: it makes what the unit returns beside the stream"
    shrink = common or skip_refusal(block)
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


def _unit(facts: Facts, first: fx.Node) -> Unit:
    traced, modules = facts.traced, facts.modules
    layer = modules[str(first.target)]
    nodes, roles = find_stretch(facts, first)
    source = first.all_input_nodes[0]
    is_output = leads_to_output(traced, nodes[-1])
    return _layer_unit(
        layer,
        str(first.target),
        (traced.shapes[source.name], traced.shapes[nodes[-1].name]),
        layer_refusal(facts, [source, *nodes], layer) or ("it is the model's output" if is_output else ""),
        roles,
        [modules[str(node.target)] for node in nodes if node.op == "call_module"],
        tuple(node.name for node in nodes),
    )


def _run_unit(facts: Facts, run: Run) -> Unit:
    layers = [place.module for place in run.places]
    shared = shared_weights(facts, layers[0])
    common = run.reason or (f"shares its weight with {shared}" if shared else "")
    return _layer_unit(layers[0], run.name, (run.in_shape, run.out_shape), common, run.roles, layers, ())


def _layer_unit(
    layer: nn.Module, name: str, shapes: tuple[Shape, Shape], common: str, roles: Sequence[str],
    layers: Iterable[nn.Module], nodes: tuple[str, ...],
) -> Unit:  # fmt: skip
    """The unit that `layer` opens. shapes: in and out; common: why nothing can be done with it; layers: all of it."""
    grow = common or foreign_kind(layer)
    grow = grow or ("" if squashes(roles) else "no activation after it: a copy would add no depth")
    shrink = common or shape_refusal(*shapes)
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
