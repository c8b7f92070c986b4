"""Building a network from a traced model and what shall become of each unit: one mechanism for gates and settling."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from depthprobe.graph.names import free_name
from depthprobe.graph.trace import Traced
from depthprobe.graph.units import Unit, layers_of, unit_nodes
from depthprobe.layers.gate import Gate
from depthprobe.layers.site import PlainSite, Site
from depthprobe.surgery.loose import loose_sites, set_mode
from depthprobe.surgery.plain import attributes_of, plain_site
from depthprobe.surgery.plans import UnitPlan
from depthprobe.surgery.resizing import resize_nodes
from depthprobe.surgery.stacks import chain_gates, refill_stacks
from depthprobe.surgery.swap import swap_modules


def body_of(traced: Traced, unit: Unit) -> nn.Module:
    """The block itself, or the unit's own layers as a Sequential; the modules are the traced model's, not copies."""
    if unit.name in traced.blocks:
        return traced.original.get_submodule(unit.name)
    body = nn.Sequential()
    run = traced.runs.found.get(unit.name)
    for module in layers_of(traced, unit) if run is None else [place.module for place in run.gated]:
        if module is not None:
            body.append(module)
    body.training = traced.original.training
    if run is not None and run.loose:
        for key, value in attributes_of(run.layers[0]).items():  # some models read them from outside
            body.__dict__.setdefault(key, value)
    return body


def build(traced: Traced, plans: Mapping[str, UnitPlan], training: bool) -> nn.Module:
    """A new network in mode `training`; submodules are shared with `traced`, their own training flags kept."""
    if traced.tracer == "modules":
        blocks = [plan for plan in plans.values() if plan.block is not None and not plan.idle]
        sites = {plan.unit.name: _site(traced, plan) for plan in blocks} | loose_sites(traced, plans)
        return swap_modules(traced.original, sites, refill_stacks(traced, plans))
    return _Builder(traced, plans, training).run()


def _site(traced: Traced, plan: UnitPlan) -> nn.Module:
    """What stands in the place of a block: with gates, or in plain torch once settled."""
    if plan.block is None:
        raise TypeError(f"{plan.unit.name} is no block")
    unit, wiring = traced.original.get_submodule(plan.unit.name), plan.block.wiring
    copies: list[Any] = [module for _, module in plan.copies]
    if plan.gate is None and not any(isinstance(copy, Gate) for copy in copies):
        return plain_site(unit, wiring, plan.unit.in_shape, plan.removed, plan.bypass, plan.copies, plan.fresh)
    inside: nn.Module = plan.gate or unit
    if plan.removed:
        inside = plain_site(unit, wiring, plan.unit.in_shape, True, plan.bypass, [], plan.fresh)
    site = PlainSite(inside, copies) if wiring.plain else Site(inside, copies)
    return set_mode(site, unit.training)


class _Builder:
    def __init__(self, traced: Traced, plans: Mapping[str, UnitPlan], training: bool) -> None:
        self.traced, self.training = traced, training
        self.graph = fx.Graph()
        self.attributes: dict[str, object] = {}
        self.values: dict[fx.Node, fx.Node] = {}
        self.chains: dict[fx.Node, list[Gate]] = {}
        inline = [plan for plan in plans.values() if plan.block is None or plan.block.plain]
        self.sites = {p.unit.name: p for p in plans.values() if not (p.block is None or p.block.plain or p.idle)}
        self.opens = {plan.unit.nodes[0]: plan for plan in inline}
        self.closes = {plan.unit.nodes[-1]: plan for plan in inline}
        self.replaced = {name for plan in inline if plan.gate is not None or plan.removed for name in plan.unit.nodes}

    def run(self) -> fx.GraphModule:
        for node in self.traced.graph.nodes:
            if node.name not in self.replaced:
                self.values[node] = self._copy(node)
            elif node.name in self.opens:
                self._replace(node, self.opens[node.name])
            if node.name in self.closes:
                plan = self.closes[node.name]
                value = self.values[node]
                for name, module in plan.copies:
                    value = self._add(name, module, value, node)
                self.values[node] = value
        for call, gates in self.chains.items():
            if len(gates) > 1:
                self.attributes[str(call.target)] = chain_gates(gates, self.training)
        self.graph.lint()
        built = fx.GraphModule(self.attributes, self.graph, type(self.traced.original).__name__)
        for module in built.modules():
            if type(module) is nn.Module or module is built:  # containers that fx made; the rest keeps its flags
                module.training = self.training
        return built

    def _copy(self, node: fx.Node) -> fx.Node:
        if node.target in self.sites:
            self.attributes[str(node.target)] = _site(self.traced, self.sites[str(node.target)])
        elif node.op in ("call_module", "get_attr"):
            self.attributes[str(node.target)] = _attribute(self.traced.root, str(node.target))
        return self.graph.node_copy(node, lambda old: self.values[old])

    def _replace(self, first: fx.Node, plan: UnitPlan) -> None:
        source = first.all_input_nodes[0]
        if plan.gate is not None:
            name = free_name(self.traced.root, f"{plan.unit.name}_gate")
            value = self._add(name, plan.gate, self.values[source], source)
        else:
            value = self._resize(plan, self.values[source])
        self.values[unit_nodes(self.traced, plan.unit)[-1]] = value

    def _add(self, name: str, module: nn.Module, value: fx.Node, place: fx.Node) -> fx.Node:
        """Append a gate or a block after `value`; a gate right behind another gate joins its chain."""
        if isinstance(module, Gate):
            if value in self.chains and len(place.users) <= 1:
                self.chains[value].append(module)
                return value
            call = self._call(name, module, value)
            self.chains[call] = [module]
            return call
        return self._call(name, module, value)

    def _call(self, name: str, module: nn.Module, value: fx.Node) -> fx.Node:
        self.attributes[name] = module
        return self.graph.call_module(name, (value,))

    def _resize(self, plan: UnitPlan, value: fx.Node) -> fx.Node:
        """The bypass of a removed unit in plain torch calls: nothing of ours stays behind."""
        if plan.bypass is None:
            return self.graph.call_function(torch.clone, (value,)) if plan.fresh else value
        name = free_name(self.traced.root, f"{plan.unit.name}_channels")
        return resize_nodes(self.graph, self.attributes, name, value, plan.unit.in_shape, plan.bypass)


def _attribute(root: nn.Module, target: str) -> object:
    value: object = root
    for part in target.split("."):
        value = getattr(value, part)
    return value
