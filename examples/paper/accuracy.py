"""What is measured: the share of right answers."""

import torch

from depthprobe.training.learner import predict

PART = 1024


def accuracy(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of right answers, in eval mode; as many images at a time as `PART`."""
    device = next(net.parameters()).device
    parts = [slice(begin, begin + PART) for begin in range(0, len(y), PART)]
    return sum(int((predict(net, x[part], device).argmax(1) == y[part]).sum()) for part in parts) / len(y)
