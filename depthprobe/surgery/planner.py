"""The planner: what each edit of a recipe makes of a unit, or why the unit refuses."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from depthprobe.errors import EditError
from depthprobe.graph.names import is_taken
from depthprobe.graph.trace import Traced
from depthprobe.graph.units import Unit, is_overwritten
from depthprobe.layers.gate import Gate
from depthprobe.layers.resize import Resize
from depthprobe.layers.site import BlockGate, CopyGate
from depthprobe.surgery import edits as records
from depthprobe.surgery.block_copies import Stock, copy_of_block
from depthprobe.surgery.build import body_of
from depthprobe.surgery.capture import Captured, capture_calls, couples_samples
from depthprobe.surgery.copies import copy_of_unit
from depthprobe.surgery.plans import UnitPlan


class Planner:
    """Turns edits into plans, one after another; `plans` maps unit names to what becomes of them."""

    def __init__(self, traced: Traced, plans: dict[str, UnitPlan], recipe: Sequence[records.Edit]) -> None:
        self.traced, self.plans = traced, plans
        self.training = traced.original.training
        touched = {edit.unit for edit in recipe if not isinstance(edit, records.Remove)}
        self.calls: dict[str, Captured] = capture_calls(traced, sorted(touched & set(traced.blocks)))
        self.stock = Stock.of(traced)
        self._copies = 0
        self._coupled: dict[str, bool] = {}

    def plan(self, edit: records.Edit) -> None:
        """Write `edit` into the plan of its unit. Raises EditError."""
        if isinstance(edit, records.Remove) and self._remove_copy(edit.unit):
            return
        plan = self.plans.get(edit.unit) or self._no_unit(edit)
        if plan.removed or (plan.gate is not None and not isinstance(edit, records.Duplicate)):
            raise EditError(f"unit {edit.unit!r} is gated or removed already", where=type(edit).__name__)
        if isinstance(edit, records.Duplicate):
            _need(plan.unit, "growable", plan.unit.growable)
            self._duplicate(plan, edit)
        else:
            _need(plan.unit, "shrinkable", plan.unit.shrinkable)
            bypass = _bypass(plan.unit, self.training)
            plan.fresh = is_overwritten(self.traced, plan.unit)
            if isinstance(edit, records.Remove):
                plan.removed, plan.bypass = True, bypass
            elif isinstance(edit, records.Gate):
                inside = body_of(self.traced, plan.unit)
                plan.gate = self._gate(plan, inside, edit, bypass=bypass, copied=False)

    def _no_unit(self, edit: records.Edit) -> UnitPlan:
        raise EditError(
            f"there is no unit {edit.unit!r}",
            where=type(edit).__name__,
            expected=", ".join(self.plans) or "a model with a conv or linear layer",
            found=self._what_is(edit.unit),
            hint="depthprobe inspect MODEL lists the units",
        )

    def _what_is(self, name: str) -> str | None:
        module = dict(self.traced.original.named_modules()).get(name)
        if module is None:
            return None
        reason = self.traced.refused.get(name)
        inside = next((unit for unit in self.traced.blocks if name.startswith(f"{unit}.")), None)
        reason = reason or (f"inside the unit {inside!r}" if inside else "which opens no unit")
        return f"a {type(module).__name__}, {reason}"

    def _duplicate(self, plan: UnitPlan, edit: records.Duplicate) -> None:
        if plan.block is not None and edit.kernel is not None:
            raise EditError(
                "a block keeps the kernel sizes of its layers", where=edit.unit, found=f"kernel {edit.kernel}",
                hint="leave the kernel out",
            )  # fmt: skip
        for _ in range(edit.copies):
            if plan.block is None:
                new: nn.Module = copy_of_unit(self.traced, plan.unit, edit.kernel, edit.init)
            else:
                new = copy_of_block(self.stock, plan.unit, edit.init, self._copies, self.calls[edit.unit])
            self._copies += 1
            plan.copies.append((self._copy_name(plan), self._gate(plan, new, edit, bypass=None, copied=True)))

    def _copy_name(self, plan: UnitPlan) -> str:
        """`<unit>_copy<n>`, passing over what the model calls so already (an earlier copy, settled)."""
        number = len(plan.copies) + 1
        while (name := f"{plan.unit.name}_copy{number}") in dict(plan.copies) or is_taken(self.traced.root, name):
            number += 1
        return name

    def _gate(
        self, plan: UnitPlan, inside: nn.Module, edit: records.Duplicate | records.Gate, *,
        bypass: Resize | None, copied: bool,
    ) -> Gate:  # fmt: skip
        seed = int(torch.randint(2**31, ())) if edit.mode == "bernoulli" else 0  # gates must not draw the same masks
        settings: dict[str, Any] = {
            "bypass": bypass, "mode": edit.mode, "granularity": edit.granularity, "ratio": edit.ratio, "seed": seed,
            "fresh": plan.fresh and not copied, "max_scale": getattr(edit, "max_scale", None),
        }  # fmt: skip
        block = plan.block
        if block is not None:
            settings.update(coupled=self._is_coupled(plan), spoils=block.spoils)
        if block is None or block.wiring.plain:
            gate = Gate(inside, **settings)
        else:
            gate = (CopyGate if copied else BlockGate)(inside, block.wiring, **settings)
        gate.training = gate.mix.training = self.training  # `inside` keeps its own flags
        return gate

    def _is_coupled(self, plan: UnitPlan) -> bool:
        name, block = plan.unit.name, plan.block
        if block is not None and name not in self._coupled:
            module = self.traced.original.get_submodule(name)
            self._coupled[name] = couples_samples(module, block.wiring, self.calls[name])
        return self._coupled[name]

    def _remove_copy(self, name: str) -> bool:
        for plan in self.plans.values():
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
