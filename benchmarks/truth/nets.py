"""The four networks of the ground truth, as model files of the probe: one hidden layer, grown or built to any depth.

`in_shape` is that of one example; depth counts hidden layers, the head comes on top.
"""

import math

from torch import nn


def _convs(in_channels, channels, depth, norm):
    layers = []
    for rank in range(depth):
        layers.append(nn.Conv2d(channels if rank else in_channels, channels, 3, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(channels)] if norm else []
        layers.append(nn.ReLU())
    return layers


def conv_gap(in_shape=(1, 8, 8), depth=1, channels=16) -> nn.Module:
    """Plain convs, global average pool: one layer sees 3x3 pixels only."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*_convs(in_shape[0], channels, depth, False), *head)


def conv_flat(in_shape=(1, 8, 8), depth=1, channels=16) -> nn.Module:
    """Plain convs, a head that sees every position of the 2x2-pooled maps."""
    features = channels * (in_shape[1] // 2) * (in_shape[2] // 2)
    head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features, 10)]
    return nn.Sequential(*_convs(in_shape[0], channels, depth, False), *head)


def conv_bn(in_shape=(1, 8, 8), depth=1, channels=16) -> nn.Module:
    """Convs with BatchNorm, global average pool."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*_convs(in_shape[0], channels, depth, True), *head)


def mlp(in_shape=(1, 8, 8), depth=1, width=64) -> nn.Module:
    """Fully connected layers."""
    layers = [nn.Flatten()]
    for rank in range(depth):
        layers += [nn.Linear(width if rank else math.prod(in_shape), width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))
