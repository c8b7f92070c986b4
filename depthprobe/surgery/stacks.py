"""Sequentials with other members: how runs are gated, copied and left out where there is no graph."""

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from depthprobe.graph.names import free_name
from depthprobe.graph.run import Run
from depthprobe.graph.trace import Traced
from depthprobe.layers.gate import Gate, GateChain
from depthprobe.layers.wiring import Wiring
from depthprobe.surgery.plain import plain_site
from depthprobe.surgery.plans import UnitPlan

Member = tuple[str, nn.Module]


def refill_stacks(traced: Traced, plans: Mapping[str, UnitPlan]) -> dict[str, dict[str, nn.Module]]:
    """Path of every Sequential that changes -> its new members in order; gates next to one another become a chain.

    Layers that stay keep their names; what is new is named as in a network made from a graph.
    """
    instead: dict[str, list[Member]] = {}
    touched: dict[str, None] = {}
    for name, plan in plans.items():
        run = traced.runs.found.get(name)
        if run is not None and not run.loose and not plan.idle:
            instead.update(_instead(traced, run, plan))
            touched.update(dict.fromkeys(place.holder for place in run.places))
    return {holder: _refilled(traced.original.get_submodule(holder), holder, instead) for holder in touched}


def _instead(traced: Traced, run: Run, plan: UnitPlan) -> dict[str, list[Member]]:
    """Path of a member -> what stands there afterwards."""
    if plan.gate is None and not plan.removed:
        last = run.places[-1]
        return {last.path: [(last.name, last.module), *_named(last.holder, plan.copies)]}
    first, *others = run.places
    name = free_name(traced.root, f"{run.name}_{'gate' if plan.gate is not None else 'bypass'}")
    around = [plan.gate] if plan.gate is not None else list(_bypass(plan, traced.original.training))
    found = _named(first.holder, [*((name, module) for module in around), *plan.copies])
    return {first.path: found, **{place.path: [] for place in others}}


def _bypass(plan: UnitPlan, training: bool) -> Iterator[nn.Module]:
    """What stands for a run that is left out, in plain torch; nothing where it need not be resized."""
    if plan.bypass is not None or plan.fresh:
        yield plain_site(
            nn.Identity().train(training), Wiring((0, 0)), plan.unit.in_shape, True, plan.bypass, [], plan.fresh
        )


def _named(holder: str, members: Sequence[Member]) -> list[Member]:
    """The members by their names in `holder`, which they may not be named after."""
    found = []
    for path, module in members:
        parent, _, name = path.rpartition(".")
        found.append((name if parent == holder else path.replace(".", "_"), module))
    return found


def _refilled(stack: nn.Module, path: str, instead: Mapping[str, list[Member]]) -> dict[str, nn.Module]:
    members: list[Member] = []
    for name, module in stack._modules.items():
        if module is not None:
            members += instead.get(f"{path}.{name}" if path else name, [(name, module)])
    found: dict[str, nn.Module] = {}
    rows: list[tuple[str, list[Gate]]] = []
    for rank, (name, module) in enumerate(members):
        if isinstance(module, Gate) and rank and isinstance(members[rank - 1][1], Gate):
            rows[-1][1].append(module)
            continue
        if isinstance(module, Gate):
            rows.append((name, [module]))
        found[name] = module
    return {**found, **{name: chain_gates(gates, stack.training) for name, gates in rows if len(gates) > 1}}


def chain_gates(gates: Sequence[Gate], training: bool) -> GateChain:
    """The gates, which follow one another, as one module in mode `training`; their own flags stay."""
    chain = GateChain(gates)
    chain.training = chain.gates.training = training
    return chain
