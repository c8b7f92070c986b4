import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))


def data():
    x = torch.randn(400, 4)
    return {"train": (x, (x[:, :1] * x[:, 1:2]).tanh())}


def loss(output, target):
    return nn.functional.huber_loss(output, target)


def optimizer(parameters):
    return torch.optim.AdamW(parameters, lr=0.01)


def closeness(output, target):  # a score for each example
    return 1 - (output - target).abs().mean(1)
