"""What a network is made of: its units with their parameters, multiply-accumulates and measured time."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from depthprobe.graph import Traced, Unit, find_units, trace
from depthprobe.graph.costs import count_macs, count_parameters
from depthprobe.graph.example import split_inputs

ROUNDS = 5


@dataclass(frozen=True)
class Part:
    """One unit and what it costs. macs: of one example; time_ms: median of a forward pass over the example given."""

    unit: Unit
    macs: int
    time_ms: float

    @property
    def refused(self) -> str:
        """The first thing that cannot be done with it: "grow", "shrink", "narrow", or "" when all can."""
        unit = self.unit
        can = {"grow": unit.growable, "shrink": unit.shrinkable, "narrow": unit.narrowable}
        return next((word for word, holds in can.items() if not holds), "") if unit.reason else ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        unit = self.unit
        return {
            "name": unit.name, "kind": unit.kind, "layers": unit.layers, "in_shape": list(unit.in_shape),
            "out_shape": list(unit.out_shape), "params": unit.params, "macs": self.macs, "time_ms": self.time_ms,
            "growable": unit.growable, "shrinkable": unit.shrinkable, "narrowable": unit.narrowable,
            "reason": unit.reason,
        }  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """A network's units in order of the data flow, its totals, and how its units were found.

    tracer: "fx" or "modules"; why: the reason where fx was not taken ("" when it was).
    """

    parts: tuple[Part, ...]
    params: int
    macs: int
    time_ms: float
    tracer: str
    why: str

    @property
    def reasons(self) -> dict[tuple[str, str], list[str]]:
        """(what cannot be done, why) -> names of the units, each reason once."""
        found: dict[tuple[str, str], list[str]] = {}
        for part in self.parts:
            if part.refused:
                why = part.unit.reason.removeprefix(f"not {part.refused}able: ")
                found.setdefault((part.refused, why), []).append(part.unit.name)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "units": [part.to_json() for part in self.parts],
            "params": self.params,
            "macs": self.macs,
            "time_ms": self.time_ms,
            "tracer": self.tracer,
            "why": self.why,
        }


def dissect(net: nn.Module, example_inputs: Any, tracer: str = "auto") -> Anatomy:
    """Find the units of `net` and measure them; its flags are put back.

    example_inputs: tensor, tuple or dict with a batch. tracer: "auto", "fx" or "modules". Raises GraphError when the
    model cannot be traced.
    """
    follow: Callable[..., Traced] = trace
    traced = follow(net, example_inputs) if tracer == "auto" else follow(net, example_inputs, tracer)
    found = find_units(traced)
    owners = {name: unit.name for unit in found for name in _modules_of(traced, unit)}
    args, kwargs = split_inputs(example_inputs)
    batch = next(len(value) for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
    with _evaluating(net):
        macs = _per_unit_macs(net, owners, args, kwargs)
        times, whole = _per_unit_times(net, owners, args, kwargs)
    parts = (Part(u, macs.get(u.name, 0) // batch, round(times.get(u.name, 0.0), 4)) for u in found)
    return Anatomy(
        parts=tuple(parts),
        params=count_parameters(net),
        macs=count_macs(net, example_inputs),
        time_ms=round(whole, 4),
        tracer=str(getattr(traced, "tracer", "fx")),
        why=" ".join(str(getattr(traced, "why", "") or "").split()).partition(" where: ")[0],
    )


def _modules_of(traced: Traced, unit: Unit) -> list[str]:
    """Names of the modules that the unit calls; itself where it is a module as a whole."""
    known = dict(traced.original.named_modules())
    if unit.name in traced.runs.found:
        return [place.path for place in traced.runs.found[unit.name].places if place.path in known]
    if not unit.nodes:
        return [unit.name]
    nodes = {node.name: node for node in traced.graph.nodes}
    called = [nodes[name] for name in unit.nodes if name in nodes]
    return [str(node.target) for node in called if node.op == "call_module" and str(node.target) in known]


def _per_unit_macs(net: nn.Module, owners: dict[str, str], args: Any, kwargs: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    with FlopCounterMode(display=False) as counter, _watched(net, owners, counter.get_total_flops, found):
        net(*args, **kwargs)
    return {name: flops // 2 for name, flops in found.items()}


def _per_unit_times(net: nn.Module, owners: dict[str, str], args: Any, kwargs: Any) -> tuple[dict[str, float], float]:
    """Milliseconds of every unit and of the whole: medians over the rounds, the first one warms up."""
    rounds: list[dict[str, float]] = []
    whole: list[float] = []
    for _ in range(ROUNDS + 1):
        found: dict[str, float] = {}
        begun = time.perf_counter()
        with _watched(net, owners, time.perf_counter, found):
            net(*args, **kwargs)
        whole.append(time.perf_counter() - begun)
        rounds.append(found)
    names = dict.fromkeys(owners.values())
    times = {name: 1000.0 * statistics.median(r.get(name, 0.0) for r in rounds[1:]) for name in names}
    return times, 1000.0 * statistics.median(whole[1:])


@contextmanager
def _watched(net: nn.Module, owners: dict[str, str], clock: Callable[[], Any], found: dict[str, Any]) -> Iterator[None]:
    """Add to `found`, by unit, how far `clock` goes while the unit's modules run."""
    modules, begun, handles = dict(net.named_modules()), dict[str, Any](), []

    def before(name: str) -> Callable[..., None]:
        return lambda *_: begun.__setitem__(name, clock())

    def after(name: str) -> Callable[..., None]:
        return lambda *_: found.__setitem__(owners[name], found.get(owners[name], 0) + clock() - begun[name])

    for name in owners:
        handles.append(modules[name].register_forward_pre_hook(before(name)))
        handles.append(modules[name].register_forward_hook(after(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
