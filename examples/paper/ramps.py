"""Which units are gated, and what the ratios of their gates do while an arm trains."""

import torch
from torch import nn

import depthprobe as dp
from depthprobe.schedules import Ramp, Schedule, staggered, together


def added_units(net: nn.Module, example: torch.Tensor) -> list[str]:
    """Names of the units that the paper added: those whose number within their stage is 2 or more."""
    named = [unit.name for unit in dp.units(net, example)]
    return [name for name in named if "_" in name and int(name.rpartition("_")[2]) > 1]


def make_schedule(kind: str, names: list[str], length: int, steps: int, start: int = 0) -> Schedule:
    """together: the paper's; staggered: one after another; growing: at once, the last gate three times as long as
    the first; closing: from 1 to 0, the last gate first. start: the step at which the first ramp begins.
    """
    if kind == "growing":
        share = [(1 + 2 * rank / max(1, len(names) - 1)) / 3 for rank in range(len(names))]
        lengths = [max(1, round(part * length)) for part in share]
        ramps = [Ramp(gate=name, start=start, length=own) for name, own in zip(names, lengths, strict=True)]
        return Schedule(gates=tuple(names), ramps=tuple(ramps), steps=steps)
    if kind == "closing":
        opening = staggered(names[::-1], length, start=start, steps=steps)
        ramps = [Ramp(gate=r.gate, start=r.start, length=r.length, begin=1.0, end=0.0) for r in opening.ramps]
        return Schedule(gates=tuple(names), ramps=tuple(ramps), steps=steps, initial=1.0)
    made = together if kind == "together" else staggered
    return made(names, length, start=start, steps=steps)
