"""What the networks of the paper share: pixels in its units, its local norm, its initial weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pixels(nn.Module):
    """Standardised inputs in the units of the paper's data layer: 0..1 for MNIST, 0..255 minus the mean else."""

    def __init__(self, std: float, mean: float = 0.0) -> None:
        super().__init__()
        self.std, self.mean = std, mean

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W), mean 0 and standard deviation 1; returns that shape."""
        return x * self.std + self.mean


class WithinChannelNorm(nn.LocalResponseNorm):
    """Local response normalisation over a size x size neighbourhood of each channel (paper, section 4.2).

    Its exponent is the paper's, 0.75: two square roots, where a power would cost as much as a conv layer does.
    """

    def __init__(self, size: int, alpha: float) -> None:
        super().__init__(size, alpha, beta=0.75, k=1.0)

    def forward(self, input: Tensor) -> Tensor:
        """input: (B, C, H, W); returns that shape."""
        energy = F.avg_pool2d(input * input, self.size, stride=1, padding=self.size // 2)
        root = torch.rsqrt(1.0 + self.alpha * energy)
        return input * root * root.sqrt()


class Pool(nn.Module):
    """Max over 2x2, odd sizes rounded up as Caffe does. A layer of its own: nn.MaxPool2d would be part of a unit."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W); returns (B, C, ceil(H/2), ceil(W/2))."""
        return F.max_pool2d(x, 2, ceil_mode=True)


def draw(layer: nn.Module, init: str, bias: float = 0.0, fan_in: int | None = None) -> nn.Module:
    """Draw the weights of a conv or linear layer; returns it.

    init: "xavier" as Caffe has it (uniform, variance 1 / fan-in), "gaussian:STD", "he", "identity" (conv layers of
    equal width; else xavier) or "default" (torch's own, bias included). fan_in: of the paper's layer, where this one is
    a smaller stand-in: a Gaussian is then drawn wider, so that a layer amplifies as much as the paper's does.
    """
    weight = layer.weight
    if init == "default":
        return layer
    nn.init.constant_(layer.bias, bias)
    kind, _, std = init.partition(":")
    if kind == "gaussian":
        ratio = (fan_in or weight[0].numel()) / weight[0].numel()
        nn.init.normal_(weight, 0.0, float(std) * math.sqrt(ratio))
    elif kind == "he":
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    elif kind == "identity" and weight.ndim == 4 and weight.shape[0] == weight.shape[1]:
        nn.init.dirac_(weight)
    else:
        nn.init.kaiming_uniform_(weight, nonlinearity="linear")
    return layer


def count_features(layers: nn.Module, shape: tuple[int, int, int]) -> int:
    """Features of one image (C, H, W) behind `layers`."""
    with torch.no_grad():
        return layers(torch.zeros(1, *shape)).numel()
