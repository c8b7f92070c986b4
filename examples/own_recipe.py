"""A regression with its own loss, optimizer, schedule, augmentation and metric: is one hidden layer enough?

Run: depthprobe grow examples/own_recipe.py --dataset examples/own_recipe.py:data \
         --metric examples/own_recipe.py:closeness --tolerance 0.02

The data are made here: y folds one of two inputs twice, which is easier for deep ReLU networks than for shallow
ones of the same width. The probe says which of these functions it found and used.
"""

import torch
from torch import nn

model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))


def data():
    """x (2000, 2) uniform in -1..1; y (2000, 1): a tent folded twice, and a little of the second input."""
    x = 2 * torch.rand(2000, 2) - 1
    y = x[:, :1]
    for _ in range(2):
        y = 1 - 2 * y.abs()
    return {"train": (x, y + 0.2 * x[:, 1:2])}


def loss(output, target):
    """Huber: an outlier pulls with a constant force."""
    return nn.functional.huber_loss(output, target, delta=0.5)


def optimizer(parameters):
    """AdamW; biases are not decayed."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0, "lr": 0.006},
    ]
    return torch.optim.AdamW(groups, lr=0.003)


def schedule(done):
    """Factor on the rates at a share of the training: up in the first tenth, level, then down to zero in a line."""
    return min(1.0, (done + 0.01) / 0.1, (1.0 - done) / 0.4)


def augment(x):
    """A little noise on a batch of inputs."""
    return x + 0.005 * torch.randn_like(x)


def closeness(output, target):
    """A score for each example, higher is better: 1 where exact, 0 where the error is 0.5 or more."""
    return (1 - (output - target).abs() / 0.5).clamp(min=0).mean(1)
