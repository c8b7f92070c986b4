"""The plan of a grow probe: sites, gates, candidates, schedule and cost, fixed before any training."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import nn

from depthprobe.config import GrowConfig, GrowthConfig, TrainConfig
from depthprobe.counting import number_of
from depthprobe.errors import ConfigError, GraphError
from depthprobe.graph.costs import count_macs, count_macs_inside, count_parameters, count_weight_layers
from depthprobe.graph.trace import Traced, trace
from depthprobe.graph.units import Unit, find_units
from depthprobe.probes.places import Place, find_places, stage_sites
from depthprobe.schedules import Schedule, StairLengths, stairs
from depthprobe.surgery import Duplicate, Edit, Edited, apply, settle
from depthprobe.surgery.identities import find_identities
from depthprobe.training.batches import mix_seed

MOST_CANDIDATES = 8
READY = 0.9  # of a conventional training: what the deepest candidate has seen, at least, when it is measured


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One depth to be measured. opened: gates that are in; depth: weight layers; macs: of one example."""

    opened: int
    depth: int
    params: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class GrowPlan:
    """What a grow probe will do. steps: updates of one conventional training; cool, up_cool: of one cooled branch on
    the way down and up. places: stages or sites whose copies are also measured alone.
    """

    edits: tuple[Duplicate, ...]
    units: tuple[Unit, ...]
    gates: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    steps: int
    cool: int
    up_cool: int
    lengths: StairLengths
    closing: str
    gate_macs: tuple[int, ...]
    places: tuple[Place, ...] = ()

    @property
    def opened(self) -> tuple[int, ...]:
        """Open gates at the candidates, ascending from 0."""
        return tuple(candidate.opened for candidate in self.candidates)

    @property
    def depths(self) -> tuple[int, ...]:
        """Weight layers of the candidates."""
        return tuple(candidate.depth for candidate in self.candidates)

    @property
    def base(self) -> Candidate:
        """The network without growth: what the control trains."""
        return self.candidates[0]

    def schedule(self, rank: int) -> Schedule:
        """The stairs of the seed number `rank`; the closing order alternates across seeds."""
        return stairs(self.gates, self.opened, self.lengths, closing=self.closing_gates(rank))

    def closing_gates(self, rank: int) -> tuple[str, ...]:
        """All gates in the order in which the seed number `rank` closes them; of one unit the last copy goes first."""
        if self.closing == "reverse" or (self.closing == "alternate" and rank % 2 == 0):
            return self.gates[::-1]
        ends = [sum(edit.copies for edit in self.edits[: i + 1]) for i in range(len(self.edits))]
        starts = [0, *ends[:-1]]
        return tuple(g for a, b in zip(starts, ends, strict=True) for g in self.gates[a:b][::-1])

    @property
    def updates(self) -> int:
        """Updates that the measured networks of one grow arm saw: the walk and one cooled branch."""
        return self.schedule(0).steps + self.cool

    def recipe(self, opened: int, rank: int) -> list[Duplicate]:
        """The recipe of the network with `opened` gates in, as the seed number `rank` had them on its way down."""
        live = set(self.closing_gates(rank)[len(self.gates) - opened :])
        kept, begin = [], 0
        for edit in self.edits:
            copies = sum(gate in live for gate in self.gates[begin : begin + edit.copies])
            begin += edit.copies
            if copies:
                kept.append(replace(edit, copies=copies, ratio=1.0))
        return kept


def choose_sites(units: list[Unit], config: GrowthConfig) -> list[Unit]:
    """The units to copy. Raises GraphError when there is none, with every unit's reason."""
    by_name = {unit.name: unit for unit in units}
    for name in config.sites or ():
        if name not in by_name or not by_name[name].growable:
            found = by_name[name].reason if name in by_name else "no such unit"
            raise ConfigError(
                f"cannot grow at {name!r}",
                where="--sites",
                expected=", ".join(u.name for u in units if u.growable) or "a growable unit",
                found=found,
            )
    sites = [u for u in units if u.growable and (config.sites is None or u.name in config.sites)]
    if not sites:
        reasons = "; ".join(f"{u.name}: {u.reason}" for u in units[:4]) or "no conv or linear layer"
        raise GraphError(
            "no repeatable unit in this model",
            expected="a conv or linear layer with an activation that is not the output",
            found=reasons,
            hint="depthprobe inspect MODEL --dataset ... lists every unit and its reason",
        )
    return sites


def base_depth(model: nn.Module, traced: Traced, units: Sequence[Unit]) -> int:
    """Weight layers of the network as it is: its units where each is one layer, else all there are."""
    return count_weight_layers(model) if traced.blocks else len(units)


def gate_depths(edited: Edited, base: int) -> list[int]:
    """Weight layers of the network with the first 0, 1, ... gates open."""
    return list(accumulate((count_weight_layers(gate.inside) for gate in edited.gates.values()), initial=base))


def spread_copies(
    traced: Traced, sites: Sequence[Unit], config: GrowthConfig, units: int, depth: int
) -> tuple[Duplicate, ...]:
    """The edits that add `config.copies` after every site, or by default as many copies as there are units (more when
    the candidates or the depth asked for need more), spread evenly, earlier sites first. depth: weight layers now.
    """
    total = max(units, _most_wanted(config, depth))
    automatic = config.init == "auto"  # the identity, where a copy can be that
    possible = find_identities(traced, list(sites), config.kernel) if automatic else ()
    counts = [config.copies] * len(sites) if config.copies else _spread(total, len(sites))
    return tuple(
        Duplicate(
            unit=site.name,
            copies=copies,
            kernel=config.kernel,
            init=("identity" if site.name in possible else "default") if automatic else config.init,
            mode=config.mode,
            granularity=config.granularity,
            max_scale=config.max_scale,
        )
        for site, copies in zip(sites, counts, strict=True)
        if copies
    )


def _spread(total: int, sites: int) -> list[int]:
    """Copies after every site: as even as can be, earlier sites first."""
    each, rest = divmod(total, sites)
    return [each + (rank < rest) for rank in range(sites)]


def fit_depth(edits: Sequence[Duplicate], depths: Sequence[int], most: int) -> tuple[Duplicate, ...]:
    """As many copies, spread as evenly, as keep the network at `most` weight layers; all where not even one does.

    depths: weight layers with 0, 1, ... of the gates of `edits` open. A copy of a block has several.
    """
    starts = accumulate((edit.copies for edit in edits[:-1]), initial=0)
    layers = [depths[start + 1] - depths[start] for start in starts]
    for total in range(sum(edit.copies for edit in edits), 0, -1):
        counts = _spread(total, len(edits))
        if depths[0] + sum(count * each for count, each in zip(counts, layers, strict=True)) <= most:
            return tuple(replace(edit, copies=n) for edit, n in zip(edits, counts, strict=True) if n)
    return tuple(edits)


def _most_wanted(config: GrowthConfig, depth: int) -> int:
    """Most copies that the settings can mean: with `max_depth` that many where a copy is one weight layer."""
    deepest = config.max_depth - depth if isinstance(config, GrowConfig) and config.max_depth else 0
    return max(deepest, *(config.candidates or (0,)), 0) if isinstance(config, GrowConfig) else 0


def plan_grow(
    model: nn.Module,
    example: torch.Tensor,
    config: GrowConfig,
    train: TrainConfig,
    examples: int,
    tracer: str = "auto",
) -> GrowPlan:
    """Everything about a grow probe that is known before training. examples: size of the training part.

    model: any instance of the network; example: (B, ...) inputs; tracer: "auto", "fx" or "modules". Raises GraphError
    or ConfigError.
    """
    traced = trace(model, example, tracer)
    units = find_units(traced)
    sites = choose_sites(units, config)
    wanted = len(units)
    if config.by == "stage" and config.sites is None and (blocks := stage_sites(sites)) != sites:
        sites, wanted = blocks, len(blocks)
    edits = spread_copies(traced, sites, config, wanted, base_depth(model, traced, units))
    with torch.random.fork_rng(devices=[]):
        edited = apply(model, edits, example, tracer)
        depths = gate_depths(edited, base_depth(model, traced, units))
        if config.max_depth and not config.copies:
            edits = fit_depth(edits, depths, config.max_depth)
            edited = apply(model, edits, example, tracer)
            depths = gate_depths(edited, depths[0])
        opened = choose_candidates(len(edited.gates), len(units), config, len(sites), depths)
        edits = _cut(edits, opened[-1])
        edited = apply(model, edits, example, tracer)
        candidates = tuple(_candidate(edited, count, depths[count], example) for count in opened)
    steps = train.steps or default_steps(examples, train.batch_size)
    lengths = stair_lengths(config, steps, opened)
    return GrowPlan(
        edits=edits,
        units=tuple(units),
        gates=tuple(edited.gates),
        candidates=candidates,
        steps=steps,
        cool=share_of(config.cool_share, steps),
        up_cool=share_of(config.up_cool_share, steps),
        lengths=lengths,
        closing=config.closing,
        gate_macs=tuple(_gate_macs(edited, example)),
        places=find_places(config.by, edits, list(edited.gates), units),
    )


def stair_lengths(config: GrowConfig, steps: int, opened: Sequence[int]) -> StairLengths:
    """Shares of `steps` as updates. The first hold is longer where few gates open: the deepest candidate is measured
    after at least READY of a conventional training.
    """
    lengths = StairLengths(
        first=share_of(config.first_share, steps),
        up=share_of(config.up_share, steps),
        up_hold=share_of(config.up_hold_share, steps),
        down=share_of(config.down_share, steps),
        down_hold=share_of(config.down_hold_share, steps),
        overlap=config.overlap,
        together=config.schedule == "together",
        opening=config.opening,
    )
    climb = sum(lengths.climb(b - a) + lengths.up_hold for a, b in pairwise(opened))
    ready = share_of(READY, steps) - climb - share_of(config.cool_share, steps)
    return replace(lengths, first=max(lengths.first, ready))


def _gate_macs(edited: Edited, example: torch.Tensor) -> list[int]:
    """Multiply-accumulates of one example in every gate's copy, in order of the data flow."""
    ratios = {name: gate.ratio for name, gate in edited.gates.items()}
    edited.set_ratio(1.0)
    try:
        return count_macs_inside(edited, [gate.inside for gate in edited.gates.values()], example)
    finally:
        edited.set_ratios(ratios)


def default_steps(examples: int, batch_size: int) -> int:
    """Updates of one conventional training: ten epochs, at least 1,500."""
    return max(1500, 10 * -(-examples // batch_size))


def choose_candidates(gates: int, base: int, config: GrowConfig, sites: int, depths: Sequence[int]) -> tuple[int, ...]:
    """Numbers of open gates to measure, ascending from 0: at most 8, log-spaced in depth, unless given.

    base: units of the network as it is; depths: weight layers with 0, 1, ... gates open.
    """
    most = gates
    if config.max_depth is not None:
        if config.max_depth < depths[1]:
            raise ConfigError(
                "nothing to add below this depth",
                where="--max-depth",
                expected=f"more than the {number_of(depths[0], 'weight layer')} of the model"
                if depths[1] == depths[0] + 1
                else f"at least {depths[1]}: there are {depths[0]}, and a copy adds {depths[1] - depths[0]}",
                found=str(config.max_depth),
            )
        most = sum(depth <= config.max_depth for depth in depths) - 1
    if config.candidates is not None:
        counts = sorted({0, *config.candidates})
        if counts[-1] > most or len(counts) < 2:
            raise ConfigError(
                "candidates do not fit",
                where="--candidates",
                expected=f"numbers of added layers, 1 to {most}",
                found=str(list(config.candidates)),
                hint=f"--copies {-(-counts[-1] // sites)} gives more" if counts[-1] > most else None,
            )
        return tuple(counts)
    if most < MOST_CANDIDATES:
        return tuple(range(most + 1))
    ratio = (base + most) / base
    spaced = {round(base * ratio ** (i / (MOST_CANDIDATES - 1))) - base for i in range(MOST_CANDIDATES)}
    return tuple(sorted(spaced | {0, most}))


def grown(model: nn.Module, edits: Sequence[Edit], example: torch.Tensor, seed: int) -> Edited:
    """`model` with the gates of `edits`; new weights drawn under `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(seed, 1))
        return apply(model, edits, example)


def _cut(edits: tuple[Duplicate, ...], most: int) -> tuple[Duplicate, ...]:
    kept, left = [], most
    for edit in edits:
        copies = min(left, edit.copies)
        left -= copies
        if copies:
            kept.append(replace(edit, copies=copies))
    return tuple(kept)


def _candidate(edited: Edited, opened: int, depth: int, example: torch.Tensor) -> Candidate:
    net = candidate_net(edited, list(edited.gates)[:opened])
    return Candidate(opened=opened, depth=depth, params=count_parameters(net), macs=count_macs(net, example))


def candidate_net(edited: Edited, live: Collection[str]) -> nn.Module:
    """The settled network with the gates named in `live` in; the edited network's ratios are put back."""
    ratios = {name: gate.ratio for name, gate in edited.gates.items()}
    edited.set_ratios({name: float(name in live) for name in ratios})
    try:
        return settle(edited)
    finally:
        edited.set_ratios(ratios)


def share_of(share: float, steps: int) -> int:
    """So many of `steps` updates, at least one."""
    return max(1, round(share * steps))
