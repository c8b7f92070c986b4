"""An edited network: the user's model, copied, with the gates that the edits asked for; apply, undo, settle."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from depthprobe.errors import EditError
from depthprobe.graph.trace import Traced, trace
from depthprobe.graph.units import Unit, find_units
from depthprobe.layers.gate import Gate
from depthprobe.layers.resize import Resize
from depthprobe.surgery import edits as records
from depthprobe.surgery.build import UnitPlan, body_of, build
from depthprobe.surgery.copies import copy_of_unit


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
        """Set the named gates."""
        gates = self.gates
        for name, ratio in ratios.items():
            gates[name].ratio = ratio

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own signature."""
        return self.network(*args, **kwargs)


def apply(model: nn.Module, edits: Iterable[records.Edit], example_inputs: Any) -> Edited:
    """Apply a recipe to a copy of `model`; the model is left as found.

    example_inputs: tensor, tuple or dict with a batch. New weights come from torch's global generator.
    Raises EditError when an edit names no unit or asks for what the unit refuses, GraphError when the model
    cannot be traced.
    """
    recipe = tuple(edits)
    traced = trace(model, example_inputs)
    plans = {unit.name: UnitPlan(unit) for unit in find_units(traced)}
    for edit in recipe:
        _plan(traced, plans, edit)
    edited = Edited(traced, recipe, plans)
    _check_shapes(edited)
    return edited


def undo(edited: Edited) -> nn.Module:
    """The model without its edits: the user's own class, the weights it has now, nothing of ours."""
    return copy.deepcopy(edited._traced.original)


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
        removed=plan.removed or (gated is not None and gated.ratio <= 0.0),
        bypass=gated.bypass if gated is not None and isinstance(gated.bypass, Resize) else plan.bypass,
        copies=[(name, gate.inside) for name, gate in plan.copies if isinstance(gate, Gate) and gate.ratio >= 1.0],
    )


def _plan(traced: Traced, plans: dict[str, UnitPlan], edit: records.Edit) -> None:
    if isinstance(edit, records.Remove) and _remove_copy(plans, edit.unit):
        return
    plan = plans.get(edit.unit)
    if plan is None:
        raise EditError(
            f"there is no unit {edit.unit!r}",
            where=type(edit).__name__,
            expected=", ".join(plans) or "a model with a conv or linear layer",
            hint="depthprobe inspect MODEL lists the units",
        )
    if plan.removed or (plan.gate is not None and not isinstance(edit, records.Duplicate)):
        raise EditError(f"unit {edit.unit!r} is gated or removed already", where=type(edit).__name__)
    if isinstance(edit, records.Duplicate):
        _need(plan.unit, "growable", plan.unit.growable)
        _duplicate(traced, plan, edit)
    else:
        _need(plan.unit, "shrinkable", plan.unit.shrinkable)
        bypass = _bypass(plan.unit)
        if isinstance(edit, records.Remove):
            plan.removed, plan.bypass = True, bypass
        elif isinstance(edit, records.Gate):
            plan.gate = _gate(body_of(traced, plan.unit), bypass, edit, traced.original.training)


def _duplicate(traced: Traced, plan: UnitPlan, edit: records.Duplicate) -> None:
    for _ in range(edit.copies):
        block = copy_of_unit(traced, plan.unit, edit.kernel, edit.init)
        gate = _gate(block, None, edit, traced.original.training)
        plan.copies.append((f"{plan.unit.name}_copy{len(plan.copies) + 1}", gate))


def _gate(inside: nn.Module, bypass: Resize | None, edit: records.Duplicate | records.Gate, training: bool) -> Gate:
    gate = Gate(inside, bypass=bypass, mode=edit.mode, granularity=edit.granularity, ratio=edit.ratio)
    gate.training = gate.mix.training = training  # `inside` keeps its own flags
    return gate


def _remove_copy(plans: dict[str, UnitPlan], name: str) -> bool:
    for plan in plans.values():
        left = [(copy_name, gate) for copy_name, gate in plan.copies if copy_name != name]
        if len(left) < len(plan.copies):
            plan.copies = left
            return True
    return False


def _bypass(unit: Unit) -> Resize | None:
    return None if unit.in_shape == unit.out_shape else Resize(unit.out_shape)


def _need(unit: Unit, what: str, holds: bool) -> None:
    if not holds:
        raise EditError(f"unit {unit.name!r} is not {what}", found=unit.reason)


def _check_shapes(edited: Edited) -> None:
    """Run once with every gate open, so that a copy that does not fit is refused here and not in training."""
    args, kwargs = edited._traced.example
    ratios = {name: gate.ratio for name, gate in edited.gates.items()}
    modes = {name: module.training for name, module in edited.named_modules()}
    edited.eval()
    edited.set_ratio(1.0)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            edited(*args, **kwargs)
    except (RuntimeError, ValueError) as error:
        raise EditError("the edited network does not run on the example input", found=str(error)) from error
    finally:
        edited.set_ratios(ratios)
        for name, module in edited.named_modules():
            module.training = modes[name]
