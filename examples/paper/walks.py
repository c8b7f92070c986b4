"""What changes while a network trains: gates that open or close, layers that widen, dropout that sweeps."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

import depthprobe as dp
from depthprobe.layers.widen import plain, thin
from examples.paper.arm import Arm
from examples.paper.ramps import added_units, make_schedule

THIN = 0.1  # share of the channels that a thin network starts with
KEPT = (0.1, 0.9)  # the dropout sweep: share of the neurons that stay, from and to; its reverse the other way


@dataclass(frozen=True)
class Walk:
    """net: what is trained; move: called before every step; at: where it stands, 0..1; finish: the network at last."""

    net: nn.Module
    move: Callable[[int], None]
    at: Callable[[], float]
    finish: Callable[[], nn.Module]


def make_walk(net: nn.Module, arm: Arm, steps: int, example: torch.Tensor) -> Walk:
    """How `arm` trains `net`; example: two inputs."""
    length = max(1, round(arm.length * steps))
    if arm.gates != "none":
        return _gated(net, arm, steps, length, example)
    if arm.width == "thin":
        return _widening(net, length)
    if arm.width in ("dropout", "reverse"):
        return _sweeping(net, length, back=arm.width == "reverse")
    return Walk(net, lambda step: None, lambda: 1.0, lambda: net)


def _gated(net: nn.Module, arm: Arm, steps: int, length: int, example: torch.Tensor) -> Walk:
    units = list(arm.units) or added_units(net, example)
    start = 1.0 if arm.gates == "closing" else arm.ratio
    gates = [dp.Gate(unit=unit, mode=arm.mode, granularity=arm.granularity, ratio=start) for unit in units]
    edited = dp.apply(net, gates, example)
    for gate in edited.gates.values():
        gate.mix.max_scale = arm.max_scale  # the edit has no field for it
    if arm.gates == "fixed":
        return Walk(edited, lambda step: None, lambda: arm.ratio, lambda: edited)
    schedule = make_schedule(arm.gates, list(edited.gates), length, steps, round(arm.delay * steps))

    def finish() -> nn.Module:
        edited.set_ratios(schedule.ratios(steps))
        return dp.settle(edited)

    def opened() -> float:
        return sum(gate.ratio for gate in edited.gates.values()) / len(gates)

    return Walk(edited, lambda step: edited.set_ratios(schedule.ratios(step)), opened, finish)


def _widening(net: nn.Module, length: int) -> Walk:
    layers = thin(net, THIN)

    def move(step: int) -> None:
        for layer in layers.values():
            layer.ratio = min(1.0, THIN + (1.0 - THIN) * step / length)

    return Walk(net, move, lambda: next(iter(layers.values())).ratio, lambda: plain(net))


def _sweeping(net: nn.Module, length: int, *, back: bool) -> Walk:
    drops = [module for module in net.modules() if isinstance(module, nn.Dropout)]
    begin, end = reversed(KEPT) if back else KEPT

    def move(step: int) -> None:
        for drop in drops:
            drop.p = 1.0 - begin + (begin - end) * min(1.0, step / length)

    return Walk(net, move, lambda: 1.0 - drops[0].p, lambda: net)
