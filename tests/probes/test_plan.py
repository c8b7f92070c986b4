"""The plan of a grow probe: how many copies, and where, under `--max-depth`."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.probes.plan import plan_grow


class Block(nn.Module):
    """Two weight layers beside the stream."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.down(F.relu(self.up(x))))


def residual():
    return nn.Sequential(Block(), Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def plain():
    layers = [layer for _ in range(3) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def plan(net, **settings):
    return plan_grow(net, torch.zeros(2, 4, 4, 4), GrowConfig(**settings), TrainConfig(steps=100), 200)


@pytest.mark.parametrize(
    ("net", "max_depth", "copies"),
    [
        (residual, 13, (1, 1, 1)),  # 7 layers and three copies of two
        (residual, 14, (1, 1, 1)),
        (residual, 19, (2, 2, 2)),
        (residual, 15, (2, 1, 1)),
        (residual, 9, (1,)),
        (plain, 7, (1, 1, 1)),
        (plain, 9, (2, 2, 1)),
    ],
)
def test_a_depth_is_shared_evenly_by_the_sites(net, max_depth, copies):
    found = plan(net(), max_depth=max_depth)
    assert tuple(edit.copies for edit in found.edits) == copies
    assert found.depths[-1] <= max_depth < found.depths[-1] + 2


def test_copies_that_were_asked_for_stay_and_the_depth_limits_the_candidates():
    found = plan(residual(), max_depth=13, copies=2)
    assert sum(edit.copies for edit in found.edits) == 3
