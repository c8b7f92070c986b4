"""End to end, once each: deep enough: `keep`; labels without meaning: never `deepen`; a need of depth: `deepen`."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import depthprobe as dp

pytestmark = pytest.mark.slow


def digits():
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target)


def plain_net(convs, head):
    layers = []
    for rank in range(convs):
        layers += [nn.Conv2d(16 if rank else 1, 16, 3, padding=1), nn.ReLU()]
    if head == "average":
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10))


def test_a_network_deep_enough_is_kept():
    result = dp.grow(plain_net(3, "flatten"), "digits", threads=1)
    assert result.recommendation.verdict == "keep", result.recommendation.sentence
    assert result.recommendation.add == []


@pytest.mark.parametrize("seed", [0, 100, 200])
def test_shuffled_labels_are_never_deepened(seed):
    x, y = digits()
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    result = dp.grow(plain_net(2, "flatten"), {"train": (x, shuffled)}, threads=1, steps=600, seed=seed)
    assert result.recommendation.verdict != "deepen", result.recommendation.sentence


def test_a_task_that_needs_depth_is_deepened():
    result = dp.grow(plain_net(1, "average"), "digits", threads=1, copies=3)
    assert result.recommendation.verdict == "deepen", result.recommendation.sentence
    assert result.recommendation.depth["recommended"] > 2
    assert sum(edit["copies"] for edit in result.recommendation.add) >= 1
    assert result.recommendation.gain["over_control"]["low"] > 0
