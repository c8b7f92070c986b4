"""An edited network: the user's model, copied, with the gates that the edits asked for; apply, undo, settle."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from depthprobe.errors import EditError
from depthprobe.graph.trace import Traced, trace
from depthprobe.graph.units import find_units
from depthprobe.layers.gate import Gate
from depthprobe.layers.resize import Resize
from depthprobe.surgery import edits as records
from depthprobe.surgery.build import build
from depthprobe.surgery.caches import turn_off_caches, turn_on_caches
from depthprobe.surgery.checks import check_edited
from depthprobe.surgery.narrowing import narrow, split_recipe
from depthprobe.surgery.planner import Planner
from depthprobe.surgery.plans import UnitPlan


class Edited(nn.Module):
    """What `apply` returns: call it like the model; `gates` maps names to gates in order of the data flow.

    Copies are named `<unit>_copy<n>`, gates around existing units by the unit's own name.
    """

    def __init__(self, traced: Traced, edits: tuple[records.Edit, ...], plans: dict[str, UnitPlan]) -> None:
        super().__init__()
        self._traced, self._plans = traced, plans
        self.edits = edits
        self.network = build(traced, plans, traced.original.training)
        self.training = traced.original.training

    @property
    def tracer(self) -> str:
        """How the model was followed: "fx" or "modules"."""
        return self._traced.tracer

    @property
    def gates(self) -> dict[str, Gate]:
        """Name -> gate, in order of the data flow."""
        found: dict[str, Gate] = {}
        for plan in self._plans.values():
            if plan.gate is not None:
                found[plan.unit.name] = plan.gate
            found.update({name: gate for name, gate in plan.copies if isinstance(gate, Gate)})
        return found

    @property
    def original_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that came from the user's model, under their original names."""
        return dict(self._traced.original.named_parameters())

    def set_ratio(self, ratio: float) -> None:
        """Set every gate to `ratio` (0..1)."""
        for gate in self.gates.values():
            gate.ratio = ratio

    def set_ratios(self, ratios: Mapping[str, float]) -> None:
        """Set the named gates. Raises EditError on a name that is no gate."""
        gates = self.gates
        unknown = sorted(set(ratios) - set(gates))
        if unknown:
            raise EditError(f"there is no gate {unknown[0]!r}", expected=", ".join(gates) or "none: no edit made one")
        for name, ratio in ratios.items():
            gates[name].ratio = ratio

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own signature."""
        return self.network(*args, **kwargs)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Edited":
        """Moves and casts reach what only `undo` and `settle` need too; tensors that forward reads stay shared."""
        self._traced.original._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for node in self._traced.graph.find_nodes(op="get_attr"):
            owner, _, name = str(node.target).rpartition(".")
            value = getattr(self.network.get_submodule(owner), name)
            for root in (self._traced.original, self._traced.root):
                setattr(root.get_submodule(owner), name, value)
        return self


def apply(model: nn.Module, edits: Iterable[records.Edit], example_inputs: Any, tracer: str = "auto") -> Edited:
    """Apply a recipe to a copy of `model`; the model is left as found.

    example_inputs: tensor, tuple or dict with a batch; tracer: "auto", "fx" or "modules" (`Edited.tracer` says which it
    became). New weights, the channels that fill a bypass and the seeds of
    Bernoulli masks come from torch's global generator: the same seed gives the same network.
    A Narrow is carried out at once, on what the edits before it leave when settled (gates at 0 or 1); what comes after
    it names the units of that network.
    Raises EditError when an edit names no unit or asks for what the unit refuses, GraphError when the model
    cannot be traced.
    """
    recipe = tuple(edits)
    stretches, rest = split_recipe(recipe)
    for stretch in stretches:
        narrowing = [edit for edit in stretch if isinstance(edit, records.Narrow)]
        model = narrow(model, narrowing, example_inputs) if narrowing else settle(apply(model, stretch, example_inputs))
    traced = trace(model, example_inputs, tracer)
    plans = {unit.name: UnitPlan(unit, traced.blocks.get(unit.name)) for unit in find_units(traced)}
    planner = Planner(traced, plans, rest)
    for edit in rest:
        planner.plan(edit)
    turn_off_caches(traced, plans)
    edited = Edited(traced, recipe, plans)
    check_edited(edited)
    return edited


def undo(edited: Edited) -> nn.Module:
    """The model without its edits: the user's own class, the weights and the mode it has now, nothing of ours.

    Raises EditError where channels were cut: they are gone.
    """
    if any(isinstance(edit, records.Narrow) for edit in edited.edits):
        raise EditError(
            "a narrowing cannot be undone: the channels are gone", hint="the model that was passed to apply"
        )
    model = copy.deepcopy(edited._traced.original)
    turn_on_caches(model)
    return model if model.training == edited.training else model.train(edited.training)


def settle(edited: Edited) -> nn.Module:
    """Fold every gate at 1 into plain layers and drop every unit at 0: plain torch modules only.

    Raises EditError when a gate is in between. The edited network is left as it is.
    """
    return settle_with_map(edited)[0]


def settle_with_map(edited: Edited) -> tuple[nn.Module, dict[nn.Parameter, nn.Parameter]]:
    """`settle`, and which parameter of the edited network became which of the settled one."""
    half_open = [f"{name} ({gate.ratio:.3g})" for name, gate in edited.gates.items() if 0.0 < gate.ratio < 1.0]
    if half_open:
        raise EditError(
            "only gates at 0 or 1 can be settled",
            where=", ".join(half_open[:5]),
            hint="edited.set_ratio(1.0) or edited.set_ratio(0.0)",
        )
    plans = {name: _settled(plan) for name, plan in edited._plans.items()}
    shared = build(edited._traced, plans, edited.training)
    memo: dict[int, Any] = {}
    plain = copy.deepcopy(shared, memo)
    return plain, {p: memo[id(p)] for p in shared.parameters()}


def _settled(plan: UnitPlan) -> UnitPlan:
    gated = plan.gate
    return UnitPlan(
        plan.unit,
        plan.block,
        removed=plan.removed or (gated is not None and gated.ratio <= 0.0),
        bypass=gated.bypass if gated is not None and isinstance(gated.bypass, Resize) else plan.bypass,
        fresh=plan.fresh,
        copies=[(name, gate.inside) for name, gate in plan.copies if isinstance(gate, Gate) and gate.ratio >= 1.0],
    )
