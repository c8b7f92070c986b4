"""Normalisation: mean and standard deviation per channel, or per feature of flat data."""

import torch
from torch import Tensor

from depthprobe.inputs.examples import Examples

_ROWS = 4096  # rows converted to float64 at a time


def measure_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return (mean, std) along dimension 1 of x (N, C, ...), each (C,) float64.

    A channel or feature that never changes gets std 1: it becomes 0, not noise blown up.
    """
    flat = x.reshape(*x.shape[:2], -1)
    count = flat.shape[0] * flat.shape[2]
    total = torch.zeros(flat.shape[1], dtype=torch.float64)
    for rows in torch.split(flat, _ROWS):
        total += rows.double().sum((0, 2))
    mean = total / count
    square = torch.zeros_like(mean)
    for rows in torch.split(flat, _ROWS):
        square += (rows.double() - mean[:, None]).square().sum((0, 2))
    std = (square / count).sqrt()
    return mean, torch.where(std > 1e-6 * mean.abs().clamp(min=1e-6), std, 1.0)


def scale_examples(part: Examples, mean: Tensor, std: Tensor) -> Examples:
    """Return new examples (x - mean) / std along dimension 1; mean, std: (C,)."""
    shape = (1, -1) + (1,) * (part.x.ndim - 2)
    return Examples((part.x - mean.float().view(shape)).div_(std.float().view(shape)), part.y)
