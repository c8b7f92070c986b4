"""Optimizers and learning-rate shapes by name."""

import math
from collections.abc import Collection, Iterable

import torch
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.errors import UserCodeError
from depthprobe.inputs.overrides import Overrides


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names over the trainable ones of `parameters`.

    A parameter without gradient (a sleeping layer) is skipped: no decay, no momentum.
    """
    live = [p for p in parameters if p.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(live, lr=config.rate, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(live, lr=config.rate, weight_decay=config.weight_decay)


def make_own_optimizer(parameters: Iterable[nn.Parameter], own: Overrides) -> torch.optim.Optimizer:
    """The optimizer that the user's function makes of the trainable ones of `parameters`.

    Raises UserCodeError for what it raises, and for anything else than an optimizer of these parameters.
    """
    live = [p for p in parameters if p.requires_grad]
    optimizer = own.call("optimizer", live)
    where, known = str(own.path) if own.path else None, {id(p) for p in live}
    if not isinstance(optimizer, torch.optim.Optimizer):
        expected, found = "a torch.optim.Optimizer", type(optimizer).__name__
        raise UserCodeError("optimizer does not return an optimizer", where=where, expected=expected, found=found)
    groups = optimizer.param_groups
    if not all(id(p) in known for group in groups for p in group["params"]):
        raise UserCodeError(
            "the optimizer holds parameters that it was not given",
            where=where,
            expected="those of optimizer(parameters): the network grows, and is copied to be measured",
        )
    if not all("lr" in group for group in groups):
        raise UserCodeError("a parameter group of the optimizer has no learning rate", where=where)
    return optimizer


def scale_new(optimizer: torch.optim.Optimizer, new: Collection[nn.Parameter], scale: float) -> None:
    """Give the parameters in `new` groups of their own, at `scale` times the rate of the group they were in.

    Every other setting of the group is kept. Call it before the first step.
    """
    known = {id(parameter) for parameter in new}
    for group in list(optimizer.param_groups) if known and scale != 1.0 else []:
        added = [parameter for parameter in group["params"] if id(parameter) in known]
        if len(added) == len(group["params"]):
            group["lr"] = group["lr"] * scale
        elif added:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in known]
            rest = {key: value for key, value in group.items() if key not in ("params", "param_names")}
            optimizer.add_param_group({**rest, "lr": group["lr"] * scale, "params": added})


def lr_factor(shape: str, step: int, steps: int) -> float:
    """Factor on the base rate at `step` of `steps`: constant 1; cosine 1 -> 0; step x0.1 at 1/2 and 3/4."""
    if shape == "constant":
        return 1.0
    done = min(1.0, step / max(1, steps))
    if shape == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    return 0.1 ** sum(done >= mark for mark in (0.5, 0.75))
