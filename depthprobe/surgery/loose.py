"""Layers that forward calls one by one: what stands in their places, so that their runs are gated, copied, left out."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from depthprobe.graph.run import Run
from depthprobe.graph.trace import Traced
from depthprobe.layers.gate import Gate, GateChain
from depthprobe.layers.site import PlainSite
from depthprobe.layers.wiring import Wiring
from depthprobe.surgery.plain import plain_site
from depthprobe.surgery.plans import UnitPlan

_ONE_TENSOR = Wiring((0, 0))


def loose_sites(traced: Traced, plans: Mapping[str, UnitPlan]) -> dict[str, nn.Module]:
    """Path of a module -> what stands there instead.

    The gate, or the bypass, stands where the weight layer was, and takes in the layers that follow at once: forward
    then calls an Identity in place of those. Copies come behind the last layer that is the run's own. A function that
    forward calls behind it completes the last of them, since they begin with it: so what a half-open gate mixes is what
    goes into that function. For samples or channels taken whole that is the same, for a blend it is not.
    """
    found: dict[str, nn.Module] = {}
    for name, plan in plans.items():
        run = traced.runs.found.get(name)
        if run is not None and run.loose and not plan.idle:
            found.update(_sites(run, plan))
    return found


def _sites(run: Run, plan: UnitPlan) -> Iterator[tuple[str, nn.Module]]:
    first, last = run.places[0], run.places[-1]
    if plan.gate is None and not plan.removed:
        yield last.path, _site(last.module, plan, copied=True)
        return
    together = len(run.gated) == len(run.places)
    yield first.path, _site(first.module, plan, gated=True, copied=together)
    for place in run.gated[1:]:
        yield place.path, nn.Identity().train(place.module.training)
    if not together and plan.copies:
        yield last.path, _site(last.module, plan, copied=True)


def _site(layer: nn.Module, plan: UnitPlan, *, gated: bool = False, copied: bool = False) -> nn.Module:
    """What stands in the place of one layer: with gates, or in plain torch once settled."""
    copies: list[tuple[str, Any]] = plan.copies if copied else []
    gate = plan.gate if gated else None
    removed, bypass = gated and plan.removed, plan.bypass if gated else None
    if gate is None and not any(isinstance(copy, Gate) for _, copy in copies):
        return plain_site(layer, _ONE_TENSOR, plan.unit.in_shape, removed, bypass, copies, plan.fresh)
    inside: nn.Module = gate or layer
    if removed:
        inside = plain_site(layer, _ONE_TENSOR, plan.unit.in_shape, True, bypass, [], plan.fresh)
    return set_mode(PlainSite(inside, [copy for _, copy in copies]), layer.training)


def set_mode(site: nn.Module, training: bool) -> nn.Module:
    """The site in mode `training`: itself and its lists of copies, not what they hold inside."""
    site.training = training
    for part in site.children():
        if isinstance(part, (GateChain, nn.ModuleList)):
            part.training = training
            for inner in part.children():
                inner.training = training
    return site
