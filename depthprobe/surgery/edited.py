"""An edited network: the user's model, copied, with the gates that the edits asked for; apply, undo, settle."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from depthprobe.errors import EditError
from depthprobe.graph.trace import Traced, is_taken, trace
from depthprobe.graph.units import Unit, find_units
from depthprobe.layers.gate import Gate
from depthprobe.layers.resize import Resize
from depthprobe.surgery import edits as records
from depthprobe.surgery.build import UnitPlan, body_of, build
from depthprobe.surgery.copies import copy_of_unit
from depthprobe.surgery.narrowing import narrow, split_recipe


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


def apply(model: nn.Module, edits: Iterable[records.Edit], example_inputs: Any) -> Edited:
    """Apply a recipe to a copy of `model`; the model is left as found.

    example_inputs: tensor, tuple or dict with a batch. New weights, the channels that fill a bypass and the seeds of
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
    traced = trace(model, example_inputs)
    plans = {unit.name: UnitPlan(unit) for unit in find_units(traced)}
    for edit in rest:
        _plan(traced, plans, edit)
    edited = Edited(traced, recipe, plans)
    _check_shapes(edited)
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
            found=_what_is(traced, edit.unit),
            hint="depthprobe inspect MODEL lists the units",
        )
    if plan.removed or (plan.gate is not None and not isinstance(edit, records.Duplicate)):
        raise EditError(f"unit {edit.unit!r} is gated or removed already", where=type(edit).__name__)
    if isinstance(edit, records.Duplicate):
        _need(plan.unit, "growable", plan.unit.growable)
        _duplicate(traced, plan, edit)
    else:
        _need(plan.unit, "shrinkable", plan.unit.shrinkable)
        bypass = _bypass(plan.unit, traced.original.training)
        if isinstance(edit, records.Remove):
            plan.removed, plan.bypass = True, bypass
        elif isinstance(edit, records.Gate):
            plan.gate = _gate(body_of(traced, plan.unit), bypass, edit, traced.original.training)


def _what_is(traced: Traced, name: str) -> str | None:
    module = dict(traced.original.named_modules()).get(name)
    return None if module is None else f"a {type(module).__name__}, which opens no unit"


def _duplicate(traced: Traced, plan: UnitPlan, edit: records.Duplicate) -> None:
    for _ in range(edit.copies):
        block = copy_of_unit(traced, plan.unit, edit.kernel, edit.init)
        gate = _gate(block, None, edit, traced.original.training)
        plan.copies.append((_copy_name(traced, plan), gate))


def _copy_name(traced: Traced, plan: UnitPlan) -> str:
    """`<unit>_copy<n>`, passing over what the model calls so already (an earlier copy, settled)."""
    number = len(plan.copies) + 1
    while (name := f"{plan.unit.name}_copy{number}") in dict(plan.copies) or is_taken(traced.root, name):
        number += 1
    return name


def _gate(inside: nn.Module, bypass: Resize | None, edit: records.Duplicate | records.Gate, training: bool) -> Gate:
    seed = int(torch.randint(2**31, ())) if edit.mode == "bernoulli" else 0  # gates must not draw the same masks
    gate = Gate(inside, bypass=bypass, mode=edit.mode, granularity=edit.granularity, ratio=edit.ratio, seed=seed)
    gate.training = gate.mix.training = training  # `inside` keeps its own flags
    return gate


def _remove_copy(plans: dict[str, UnitPlan], name: str) -> bool:
    for plan in plans.values():
        left = [(copy_name, gate) for copy_name, gate in plan.copies if copy_name != name]
        if len(left) < len(plan.copies):
            plan.copies = left
            return True
    return False


def _bypass(unit: Unit, training: bool) -> Resize | None:
    return None if unit.in_shape == unit.out_shape else Resize(unit.out_shape).train(training)


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
