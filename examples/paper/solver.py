"""The paper's solver: Caffe's momentum SGD and its learning-rate policies."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

GAMMA, POWER = 1e-4, 0.75  # of the "inv" policy of Caffe's LeNet
DROP_EVERY = 100_000  # of the "step" policy of Caffe's AlexNet


def make_factor(solver: dict[str, Any], steps: int) -> Callable[[int], float]:
    """Step -> factor on the learning rate: the paper's policy, as if `steps` were its number of iterations."""
    policy, stretch = solver["policy"], solver["iterations"] / steps

    def factor(step: int) -> float:
        iteration = step * stretch
        if policy == "inv":
            return (1.0 + GAMMA * iteration) ** -POWER
        return 0.1 ** (iteration // DROP_EVERY) if policy == "step" else 1.0

    return factor


def make_optimizer(solver: dict[str, Any]) -> Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]:
    """A function of the parameters, as a model's file may have one: SGD, biases at twice the rate as in Caffe's files.

    solver: lr, momentum, weight_decay, bias_decay (false: biases do not decay).
    """

    def optimizer(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        live = list(parameters)
        decay = solver["weight_decay"]
        groups = [
            {"params": [p for p in live if p.ndim > 1], "lr": solver["lr"], "weight_decay": decay},
            {
                "params": [p for p in live if p.ndim == 1],
                "lr": 2.0 * solver["lr"],
                "weight_decay": decay if solver.get("bias_decay", True) else 0.0,
            },
        ]
        return torch.optim.SGD([g for g in groups if g["params"]], lr=solver["lr"], momentum=solver["momentum"])

    return optimizer
