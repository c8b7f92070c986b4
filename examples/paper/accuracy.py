"""What is measured: the share of right answers."""

import torch

from depthprobe.training.learner import predict


def accuracy(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of right answers, in eval mode."""
    device = next(net.parameters()).device
    return float((predict(net, x, device).argmax(1) == y).double().mean())
