"""How a batch is divided among processes and, within each, over time."""

import torch
from torch import nn

from depthprobe.counting import number_of
from depthprobe.errors import ConfigError
from depthprobe.layers.part import Part
from depthprobe.training.team import Team


def parts_of(batch: int, team: Team, accumulate: int, device: torch.device) -> list[Part | None]:
    """The parts of a batch of `batch` that this process computes, one after another; [None] is the whole batch.

    Raises ConfigError when there are more parts than samples.
    """
    of = team.size * accumulate
    if of > batch:
        raise ConfigError(
            "there are more parts than samples in a batch",
            where="--batch-size, --accumulate",
            expected=f"at least {of} samples, for {number_of(team.size, 'process', 'processes')} x {accumulate}",
            found=str(batch),
        )
    apart = accumulate if device.type == "cuda" else of
    return [None] if of == 1 else [Part(turn * team.size + team.rank, of, batch, apart) for turn in range(accumulate)]


def synchronise_norms(net: nn.Module) -> None:
    """BatchNorm over the samples of all processes, in place: gates and optimizers hold on to their modules."""
    for module in net.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = nn.SyncBatchNorm
            module.process_group = None  # type: ignore[assignment]
