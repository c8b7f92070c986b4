"""The plan of a shrink probe: which units leave, in which order, and where is measured; fixed before any training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from depthprobe.config import ShrinkConfig, TrainConfig
from depthprobe.errors import ConfigError, GraphError
from depthprobe.graph.costs import count_macs, count_parameters, count_weight_layers
from depthprobe.graph.trace import trace
from depthprobe.graph.units import Unit, find_units
from depthprobe.probes.places import Place
from depthprobe.probes.plan import MOST_CANDIDATES, Candidate, candidate_net, default_steps, share_of
from depthprobe.probes.ranking import Ranked
from depthprobe.schedules import Schedule, StairLengths, stairs_down
from depthprobe.surgery import Edit, Gate, Remove, apply


@dataclass(frozen=True, kw_only=True)
class ShrinkPlan:
    """What a shrink probe will do. edits: gates around the units that leave; order: their names as they leave, least
    missed first; candidates: ascending in open gates, the last one the network as it is; gate_macs: of every gate's
    unit, per example; steps: updates of one conventional training; cool: of the short branch at a hold; branch: of the
    long one that decides.
    """

    edits: tuple[Gate, ...]
    units: tuple[Unit, ...]
    gates: tuple[str, ...]
    order: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    steps: int
    cool: int
    branch: int
    lengths: StairLengths
    gate_macs: tuple[int, ...]
    ramps: Mapping[str, int] = field(default_factory=dict)
    up_cool: int = 0
    places: tuple[Place, ...] = ()

    @property
    def opened(self) -> tuple[int, ...]:
        """Open gates at the candidates, ascending."""
        return tuple(candidate.opened for candidate in self.candidates)

    @property
    def depths(self) -> tuple[int, ...]:
        """Weight layers of the candidates."""
        return tuple(candidate.depth for candidate in self.candidates)

    @property
    def base(self) -> Candidate:
        """The network as it is: what the control trains."""
        return self.candidates[-1]

    def schedule(self, rank: int) -> Schedule:
        """The stairs; the same for every seed."""
        return stairs_down(self.gates, self.opened, self.lengths, closing=self.order, ramps=self.ramps)

    def closing_gates(self, rank: int) -> tuple[str, ...]:
        """All gates in the order in which they close."""
        return self.order

    @property
    def updates(self) -> int:
        """Updates that the smallest candidate sees: the walk and one long branch."""
        return self.seen(self.opened[0])

    def seen(self, opened: int) -> int:
        """Updates that the network with `opened` gates open sees: the walk down to it and one long branch."""
        return self.reached(opened) + self.branch

    def reached(self, opened: int) -> int:
        """Updates of the walk down to `opened` open gates."""
        return next(hold.end for hold in self.schedule(0).holds if hold.opened == opened)

    def depth_of(self, opened: int) -> int:
        """Weight layers with `opened` gates open."""
        return self.depths[self.opened.index(opened)]

    def removed(self, opened: int) -> tuple[str, ...]:
        """Names of the units that are out where `opened` gates are open, in order of the data flow."""
        gone = set(self.order[: len(self.order) - opened])
        return tuple(gate for gate in self.gates if gate in gone)

    def recipe(self, opened: int, rank: int) -> list[Edit]:
        """The edits that make the candidate with `opened` gates of the network as it was given."""
        return [Remove(unit=name) for name in self.removed(opened)]


def choose_units(
    network: nn.Module, example: torch.Tensor, config: ShrinkConfig, gone: Sequence[str] = ()
) -> list[Unit]:
    """The units that may leave; gone: those asked for that are out already. Raises GraphError where none can."""
    units = find_units(trace(network, example))
    by_name = {unit.name: unit for unit in units}
    for name in set(config.units or ()) - set(gone):
        if name not in by_name or not by_name[name].shrinkable:
            raise GraphError(
                f"{name!r} cannot leave",
                where="--units",
                expected=", ".join(unit.name for unit in units if unit.shrinkable) or "a unit that can be bypassed",
                found=by_name[name].reason if name in by_name else "no such unit",
            )
    leaving = [u for u in units if u.shrinkable and (config.units is None or u.name in config.units)]
    if not leaving and not gone:
        raise GraphError(
            "nothing can be removed from this network",
            expected="a unit that a bypass can stand in for",
            found="; ".join(f"{unit.name}: {unit.reason}" for unit in units[:4]) or "no unit",
            hint="depthprobe inspect MODEL --dataset ... lists every unit and its reason",
        )
    return leaving


def plan_shrink(
    network: nn.Module,
    example: torch.Tensor,
    ranking: Sequence[Ranked],
    config: ShrinkConfig,
    train: TrainConfig,
    examples: int,
) -> ShrinkPlan:
    """Everything that is known before training. network: trained; ranking: of the units that may leave, least missed
    first; examples: size of the training part.
    """
    unknown = sorted(set(config.lengths) - {row.unit for row in ranking})
    if unknown:
        raise ConfigError(
            f"a length for {unknown[0]!r}, which is no unit that leaves",
            where="setting lengths",
            expected=", ".join(row.unit for row in ranking),
        )
    removed = choose_removals(len(ranking), config)
    order = [row.unit for row in ranking][: removed[-1]]
    with torch.random.fork_rng(devices=[]):
        edits = [Gate(unit=name, mode=config.mode, granularity=config.granularity) for name in order]
        edited = apply(network, edits, example)
        gates = tuple(edited.gates)
        candidates = []
        for count in reversed(removed):
            net = candidate_net(edited, order[count:])
            candidates.append(
                Candidate(
                    opened=len(order) - count,
                    depth=count_weight_layers(net),
                    params=count_parameters(net),
                    macs=count_macs(net, example),
                )
            )
        whole = candidates[-1].macs
        alone = {name: candidate_net(edited, [other for other in order if other != name]) for name in order}
        costs = {name: whole - count_macs(net, example) for name, net in alone.items()}
    by_gate = {edit.unit: edit for edit in edits}
    steps = train.steps or default_steps(examples, train.batch_size)
    return ShrinkPlan(
        edits=tuple(by_gate[gate] for gate in gates),
        units=tuple(find_units(trace(network, example))),
        gates=gates,
        order=tuple(order),
        candidates=tuple(candidates),
        steps=steps,
        cool=share_of(config.cool_share, steps),
        branch=share_of(config.branch_share, steps),
        lengths=StairLengths(
            first=share_of(config.first_share, steps),
            up=1,
            up_hold=1,
            down=share_of(config.down_share, steps),
            down_hold=share_of(config.down_hold_share, steps),
            overlap=config.overlap,
        ),
        gate_macs=tuple(costs[gate] for gate in gates),
        ramps=dict(config.lengths),
    )


def choose_removals(units: int, config: ShrinkConfig) -> list[int]:
    """Numbers of removed units to measure, ascending from 0: at most 8, close together at first, unless given."""
    if config.candidates is not None:
        counts = sorted({0, *config.candidates})
        if counts[-1] > units or len(counts) < 2:
            raise ConfigError(
                "candidates do not fit",
                where="--candidates",
                expected=f"numbers of removed units, 1 to {units}",
                found=str(list(config.candidates)),
            )
        return counts
    most = units if units < MOST_CANDIDATES else units - 1  # without all of many, what is left is hardly a network
    if most < MOST_CANDIDATES:
        return list(range(most + 1))
    spaced = {round((most + 1) ** (i / (MOST_CANDIDATES - 1))) - 1 for i in range(MOST_CANDIDATES)}
    return sorted(spaced | {0, 1, most})
