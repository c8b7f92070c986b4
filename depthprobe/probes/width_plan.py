"""The plan of a width probe: how wide every unit is at every ratio, and what is measured; fixed before training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from depthprobe.config import TrainConfig, WidthConfig
from depthprobe.errors import GraphError
from depthprobe.graph.costs import count_macs, count_parameters, count_weight_layers
from depthprobe.probes.places import Place
from depthprobe.probes.plan import Candidate, default_steps, share_of
from depthprobe.probes.profiles import equal_widths, skeleton
from depthprobe.schedules import Hold, Schedule, StairLengths
from depthprobe.surgery import Edit, Narrow
from depthprobe.surgery.channels import Channels, find_channels


@dataclass(frozen=True, kw_only=True)
class WidthPlan:
    """What a width probe will do. units: groups of channels that become narrower together; others: those that cannot.
    candidates: ascending, `opened` and `depth` being the percent of the channels that are left, the last one 100;
    widths: percent -> unit -> channels. layers: weight layers of the network; steps: updates of one conventional
    training; length: of one fine-tuning. profile: "equal" shares in all units, or "uneven" ones at the same cost. The
    other fields are those of probes with gates: there are none.
    """

    units: tuple[Channels, ...]
    others: tuple[Channels, ...]
    candidates: tuple[Candidate, ...]
    widths: Mapping[int, Mapping[str, int]]
    layers: int
    steps: int
    length: int
    profile: str = "equal"
    edits: tuple[Edit, ...] = ()
    gates: tuple[str, ...] = ()
    gate_macs: tuple[int, ...] = ()
    cool: int = 0
    up_cool: int = 0
    places: tuple[Place, ...] = ()

    @property
    def opened(self) -> tuple[int, ...]:
        """Percent of the channels at the candidates, ascending."""
        return tuple(candidate.opened for candidate in self.candidates)

    @property
    def depths(self) -> tuple[int, ...]:
        """The same: what the rule decides on."""
        return self.opened

    @property
    def lengths(self) -> StairLengths:
        """No gate ramps."""
        return StairLengths(first=1, up=1, up_hold=1, down=1, down_hold=self.length)

    @property
    def base(self) -> Candidate:
        """The network as it is: what the control trains."""
        return self.candidates[-1]

    def schedule(self, rank: int) -> Schedule:
        """The narrower networks, from wide to narrow: each is cut at the beginning of its hold, from the whole one, and
        fine-tuned up to its end. The same for every seed.
        """
        narrower = [percent for percent in reversed(self.opened) if percent < self.base.opened]
        holds = [
            Hold(start=rank * self.length, length=self.length, opened=percent, walk="down")
            for rank, percent in enumerate(narrower)
        ]
        return Schedule(gates=(), ramps=(), steps=len(holds) * self.length, holds=tuple(holds))

    def closing_gates(self, rank: int) -> tuple[str, ...]:
        """There are no gates."""
        return ()

    @property
    def updates(self) -> int:
        """Updates that every narrower network sees, and the control."""
        return self.length

    def recipe(self, percent: int) -> list[Edit]:
        """The edits that make the candidate of the network as it was given."""
        widths = self.widths[percent]
        return [Narrow(unit=u.unit, keep=widths[u.unit]) for u in self.units if widths[u.unit] < u.width]


def choose_narrowing(
    network: nn.Module, example: torch.Tensor, config: WidthConfig
) -> tuple[list[Channels], list[Channels]]:
    """(groups that become narrower, the others). Raises GraphError where there is none, or a named one cannot."""
    groups = find_channels(network, example)
    free = [group for group in groups if not group.reason]
    for name in config.units or ():
        home = next((group for group in groups if name in group.members), None)
        if home is None or home.reason:
            raise GraphError(
                f"{name!r} cannot be narrowed",
                where="--units",
                expected=", ".join(group.unit for group in free) or "a unit whose width is its own",
                found=home.reason if home else "no such unit",
            )
    asked = [group for group in free if config.units is None or not set(config.units).isdisjoint(group.members)]
    if not asked:
        raise GraphError(
            "nothing can be narrowed in this network",
            expected="a conv or linear layer before the last one",
            found="; ".join(f"{group.unit}: {group.reason}" for group in groups[:4]) or "no conv or linear layer",
        )
    return asked, [group for group in groups if group not in asked]


def plan_width(
    network: nn.Module, example: torch.Tensor, config: WidthConfig, train: TrainConfig, examples: int
) -> WidthPlan:
    """Everything that is known before training, equally wide. network: trained; examples: size of the training part."""
    units, others = choose_narrowing(network, example, config)
    widths = equal_widths(units, config)
    steps = train.steps or default_steps(examples, train.batch_size)
    return WidthPlan(
        units=tuple(units),
        others=tuple(others),
        candidates=tuple(_candidate(network, units, widths[percent], percent, example) for percent in sorted(widths)),
        widths=widths,
        layers=count_weight_layers(network),
        steps=steps,
        length=share_of(config.tune_share, steps),
    )


def with_widths(
    plan: WidthPlan, network: nn.Module, widths: Mapping[int, Mapping[str, int]], profile: str, example: torch.Tensor
) -> WidthPlan:
    """The same plan at other widths: percent -> unit -> channels."""
    rows = [_candidate(network, plan.units, widths[percent], percent, example) for percent in sorted(widths)]
    return replace(plan, widths=widths, candidates=tuple(rows), profile=profile)


def _candidate(
    network: nn.Module, units: Sequence[Channels], widths: Mapping[str, int], percent: int, example: torch.Tensor
) -> Candidate:
    net = skeleton(network, units, widths, example)
    return Candidate(opened=percent, depth=percent, params=count_parameters(net), macs=count_macs(net, example))
