"""Two questions with known answers: shuffled labels (never deepen) and a task that provably needs depth (deepen).

Parity of a distance: two bright points lie 3 to 6 pixels apart in a row, the label is the parity of the distance. A
network of d convs 3x3 before a global average pool counts patches of 2d + 1 pixels: at d = 1 the two points are never
seen together, at d = 2 distances 3 and 4 can be told apart (three quarters right), from d = 3 on all of them.
"""

from pathlib import Path
from typing import Any

import torch

import depthprobe as dp
from truth import nets
from truth.cases import CASES, open_data

NULLS = ("digits-conv_flat", "mnist14-mlp", "cifar16-mlp")
NULL_STEPS = 600


def run_null(seed: int, rate_of, data_dir: Path | None) -> tuple[str, dict[str, Any]]:
    """One probe on shuffled labels, the cases in turn: (case, recommendation). rate_of: case -> learning rate."""
    case = next(case for case in CASES if case.name == NULLS[seed % len(NULLS)])
    train = open_data(case.data, data_dir).train
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    result = dp.grow(
        case.build(1, 0, data_dir),
        {"train": (train.x, train.y[order])},
        max_depth=9,
        seed=1000 * seed,
        split_seed=seed,
        lr=rate_of(case),
        steps=NULL_STEPS,
        threads=1,
    )
    return case.name, result.recommendation.to_json()


def run_parity(seed: int) -> dict[str, Any]:
    """One probe of the parity task, from one conv layer up to six."""
    result = dp.grow(
        nets.conv_bn((1, 12, 12)),
        {"train": distances(4000, 2 * seed), "test": distances(2000, 2 * seed + 1)},
        max_depth=7,
        seed=1000 * seed,
        split_seed=seed,
        lr=0.05,
        steps=1500,
        threads=1,
    )
    return result.recommendation.to_json()


def distances(count: int, seed: int, side: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """x (N, 1, side, side) float, y (N,) int64: the parity of the distance."""
    draw = torch.Generator().manual_seed(seed)
    apart = torch.randint(3, 7, (count,), generator=draw)
    row = torch.randint(0, side, (count,), generator=draw)
    column = (torch.rand(count, generator=draw) * (side - apart)).long()
    x, each = torch.zeros(count, 1, side, side), torch.arange(count)
    x[each, 0, row, column] = 4.0
    x[each, 0, row, column + apart] = 4.0
    return x, apart % 2
