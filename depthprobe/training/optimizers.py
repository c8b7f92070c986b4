"""Optimizers and learning-rate shapes by name."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from depthprobe.config import TrainConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names over the trainable ones of `parameters`.

    A parameter without gradient (a sleeping layer) is skipped: no decay, no momentum.
    """
    live = [p for p in parameters if p.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(live, lr=config.rate, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(live, lr=config.rate, weight_decay=config.weight_decay)


def lr_factor(shape: str, step: int, steps: int) -> float:
    """Factor on the base rate at `step` of `steps`: constant 1; cosine 1 -> 0; step x0.1 at 1/2 and 3/4."""
    if shape == "constant":
        return 1.0
    done = min(1.0, step / max(1, steps))
    if shape == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    return 0.1 ** sum(done >= mark for mark in (0.5, 0.75))
