"""How wide the units are at a ratio: the same share everywhere, or each as narrow as its readers can do with."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import nn

from depthprobe.config import WidthConfig
from depthprobe.errors import GraphError
from depthprobe.graph.costs import count_macs
from depthprobe.surgery.channels import Channels
from depthprobe.surgery.choosing import measure_errors
from depthprobe.surgery.narrowing import cut_to

LEVELS = [10 ** (-6 + rank / 8) for rank in range(49)]  # shares of the readers' output that may be lost, up to all
UNEVEN_BY = 0.01  # of a metric that is 1 at best, mean over the ratios: what uneven widths have to be better by

Widths = Mapping[int, Mapping[str, int]]


def equal_widths(units: Sequence[Channels], config: WidthConfig) -> Widths:
    """Percent -> unit -> channels, descending in percent; a ratio that changes no width is left out.

    Raises GraphError where no ratio changes any.
    """
    found: dict[int, Mapping[str, int]] = {}
    for percent in reversed(config.percents):
        widths = {unit.unit: round_width(unit.width, percent, config.round_to) for unit in units}
        if widths not in found.values():
            found[percent] = widths
    if len(found) < 2:
        raise GraphError(
            "no ratio makes any unit narrower",
            where="--ratios, --round-to",
            expected="widths that differ after rounding up",
            found=", ".join(f"{unit.unit}: {unit.width}" for unit in units[:4]),
        )
    return found


def uneven_widths(
    network: nn.Module, units: Sequence[Channels], equal: Widths, inputs: torch.Tensor, multiple: int
) -> Widths:
    """Widths of the same percents: at most as many multiply-accumulates as the equal ones, and of all units the readers
    lose the same share. network: trained; inputs: typical, on its device; multiple: to round up to.
    """
    errors = measure_errors(network, units, inputs)
    levels = [_at_level(units, errors, level, multiple) for level in LEVELS]
    costs: dict[tuple[int, ...], int] = {}
    for widths in [*levels, *equal.values()]:
        if (key := tuple(widths.values())) not in costs:
            costs[key] = count_macs(skeleton(network, units, widths, inputs[:2]), inputs[:2])
    found: dict[int, Mapping[str, int]] = {100: equal[100]}
    for percent, widths in list(equal.items())[1:]:
        most = costs[tuple(widths.values())]
        fits = next((one for one in levels if costs[tuple(one.values())] <= most), levels[-1])
        if fits not in found.values():
            found[percent] = fits
    return found


def choose_profile(equal: Mapping[str, float], uneven: Mapping[str, float], scale: float) -> str:
    """Of the two what is worth more without training; "equal" unless the gain is clear. equal, uneven: percent
    -> metric; scale: of the metric, 1 where that is best.
    """
    both = sorted(set(equal) & set(uneven))
    gain = fmean(uneven[percent] - equal[percent] for percent in both) if both else 0.0
    return "uneven" if gain > UNEVEN_BY * scale else "equal"


def round_width(width: int, percent: int, multiple: int) -> int:
    """`percent` of a width, rounded up, to a multiple where the unit is wider than that."""
    return round_up(max(1, math.ceil(width * percent / 100)), width, multiple)


def round_up(kept: int, width: int, multiple: int) -> int:
    """So many of `width` channels, or the next multiple where the unit is wider than that."""
    return min(width, -(-kept // multiple) * multiple) if width > multiple else kept


def skeleton(
    network: nn.Module, units: Sequence[Channels], widths: Mapping[str, int], example: torch.Tensor
) -> nn.Module:
    """The network with so many channels left, whichever: its weights are to be loaded."""
    return cut_to(network, units, widths, example, choose=lambda unit, keep: range(keep)).network


def _at_level(
    units: Sequence[Channels], errors: Mapping[str, Sequence[float]], level: float, multiple: int
) -> dict[str, int]:
    """The least widths at which the readers lose no more than `level`."""
    enough = {name: next(rank for rank, lost in enumerate(row, 1) if lost <= level) for name, row in errors.items()}
    return {unit.unit: round_up(enough[unit.unit], unit.width, multiple) for unit in units}
