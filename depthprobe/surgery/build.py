"""Building a graph from a traced model and what shall become of each unit: one mechanism for gates and for settling."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import fx, nn

from depthprobe.graph.trace import Traced, free_name
from depthprobe.graph.units import Unit, module_of, unit_nodes
from depthprobe.layers.gate import Gate, GateChain
from depthprobe.layers.resize import Resize


@dataclass
class UnitPlan:
    """What becomes of one unit: kept as it is, wrapped by `gate`, or left out with `bypass`; then its copies.

    copies: (name, module) in order of the data flow; a module is a Gate, or a plain block once settled.
    """

    unit: Unit
    gate: Gate | None = None
    removed: bool = False
    bypass: Resize | None = None
    copies: list[tuple[str, nn.Module]] = field(default_factory=list)


def body_of(traced: Traced, unit: Unit) -> nn.Sequential:
    """The unit's own layers as a Sequential; the modules are the traced model's, not copies."""
    training = traced.original.training
    body = nn.Sequential()
    for node in unit_nodes(traced, unit):
        module = module_of(traced, node)
        if module is not None:
            body.append(module if node.op == "call_module" else module.train(training))
    body.training = training
    return body


def build(traced: Traced, plans: Mapping[str, UnitPlan], training: bool) -> fx.GraphModule:
    """A new GraphModule in mode `training`; submodules are shared with `traced`, their own training flags kept."""
    return _Builder(traced, plans, training).run()


class _Builder:
    def __init__(self, traced: Traced, plans: Mapping[str, UnitPlan], training: bool) -> None:
        self.traced, self.training = traced, training
        self.graph = fx.Graph()
        self.attributes: dict[str, object] = {}
        self.values: dict[fx.Node, fx.Node] = {}
        self.chains: dict[fx.Node, list[Gate]] = {}
        self.opens = {plan.unit.nodes[0]: plan for plan in plans.values()}
        self.closes = {plan.unit.nodes[-1]: plan for plan in plans.values()}
        self.replaced = {
            name for plan in plans.values() if plan.gate is not None or plan.removed for name in plan.unit.nodes
        }

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
                self.attributes[str(call.target)] = _chain(gates, self.training)
        self.graph.lint()
        built = fx.GraphModule(self.attributes, self.graph, type(self.traced.original).__name__)
        for module in built.modules():
            if type(module) is nn.Module or module is built:  # containers that fx made; the rest keeps its flags
                module.training = self.training
        return built

    def _copy(self, node: fx.Node) -> fx.Node:
        if node.op in ("call_module", "get_attr"):
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
            return value
        target = plan.bypass.shape
        here = plan.unit.in_shape
        if here[1:] != target[1:]:
            value = _spatial(self.graph, value, here[1:], target[1:])
        if here[0] > target[0]:
            value = self.graph.call_function(torch.narrow, (value, 1, 0, target[0]))
        elif here[0] < target[0]:
            name = free_name(self.traced.root, f"{plan.unit.name}_channels")
            index = torch.cat((torch.arange(here[0]), plan.bypass.choice.cpu()[here[0] :] % here[0]))
            self.attributes[name] = index.to(plan.bypass.choice.device)
            value = self.graph.call_function(torch.index_select, (value, 1, self.graph.get_attr(name)))
        return value


def _chain(gates: list[Gate], training: bool) -> GateChain:
    chain = GateChain(gates)
    chain.training = chain.gates.training = training
    return chain


def _spatial(graph: fx.Graph, value: fx.Node, here: tuple[int, ...], target: tuple[int, ...]) -> fx.Node:
    interpolate = nn.functional.interpolate
    down = tuple(min(a, b) for a, b in zip(here, target, strict=True))
    if down != here:
        value = graph.call_function(interpolate, (value,), {"size": down, "mode": "area"})
    if down != target:
        mode = {1: "linear", 2: "bicubic", 3: "trilinear"}[len(here)]
        value = graph.call_function(interpolate, (value,), {"size": target, "mode": mode, "align_corners": False})
    return value


def _attribute(root: nn.Module, target: str) -> object:
    value: object = root
    for part in target.split("."):
        value = getattr(value, part)
    return value
