"""A grow probe of a network of blocks, with a graph and without one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x, scale=None):
        return x + (1.0 if scale is None else scale) * self.down(F.relu(self.up(x)))


class Net(nn.Module):
    """Two residual blocks; answers with a dict, as many libraries do."""

    def __init__(self, branching):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, 4, 3, 2, 1), nn.ModuleList([Block(), Block()])
        self.head, self.branching = nn.Linear(64, 10), branching

    def forward(self, x):
        if self.branching and x.mean() > 1e6:
            x = -x
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, scale=torch.ones(len(x), 1, 1, 1)) if self.branching else block(x)
        return {"logits": self.head(x.flatten(1))}


@pytest.mark.parametrize("branching", [False, True])
def test_blocks_are_grown_and_count_with_all_their_layers(branching):
    torch.manual_seed(0)
    result = dp.grow(Net(branching), "digits", seeds=1, steps=40, lr=0.05, copies=1, threads=1, limit_train=400)
    candidates = result.recommendation["depth"]["candidates"]
    assert [row["depth"] for row in candidates] == [6, 8, 10]
    assert candidates[0]["params"] < candidates[1]["params"] < candidates[2]["params"]
    assert candidates[1]["macs"] - candidates[0]["macs"] == candidates[2]["macs"] - candidates[1]["macs"] > 0
