"""Which units can be copied so that the copy changes nothing at first."""

import torch
from torch import nn

from depthprobe.graph.trace import Traced
from depthprobe.graph.units import Unit
from depthprobe.surgery.block_copies import Stock, copy_of_block, zero_to_identity
from depthprobe.surgery.capture import capture_calls
from depthprobe.surgery.copies import has_identity


def find_identities(traced: Traced, units: list[Unit], kernel: int | None) -> set[str]:
    """Names of the units for which init "identity" is possible. kernel: size of the copies, None for the unit's own.

    Blocks are tried out, one copy each; torch's generator is left where it was.
    """
    calls = capture_calls(traced, [unit.name for unit in units if unit.name in traced.blocks])
    stock = Stock.of(traced)
    found = set()
    for unit in units:
        if unit.name not in calls:
            layer: nn.Module = traced.original.get_submodule(unit.name)
            found |= {unit.name} if has_identity(layer, kernel) else set()
            continue
        with torch.random.fork_rng(devices=[]):
            block = copy_of_block(stock, unit, "default", 0, calls[unit.name])
        if zero_to_identity(block, traced.blocks[unit.name].wiring, calls[unit.name]):
            found.add(unit.name)
    return found
