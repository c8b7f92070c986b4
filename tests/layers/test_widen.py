"""Layers of which only the first channels live."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from depthprobe.layers.widen import Widen, plain, thin


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 10, 3), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(10 * 3 * 3, 20), nn.ReLU(), nn.Linear(20, 4),
    )  # fmt: skip


@given(st.floats(0.0, 1.0))
@settings(max_examples=20, deadline=None)
def test_a_thin_network_is_the_full_one_with_its_other_channels_at_zero(ratio):
    model, x = net(), torch.randn(3, 1, 8, 8)
    reference = net()
    layers = thin(model, ratio)
    with torch.no_grad():
        for name, layer in layers.items():
            whole = reference.get_submodule(name)
            whole.weight[layer.width :], whole.bias[layer.width :] = 0.0, 0.0
    assert torch.allclose(model(x), reference(x), atol=1e-5)


def test_at_full_width_nothing_differs_and_plain_gives_the_layers_back():
    model, x = net(), torch.randn(3, 1, 8, 8)
    expected = model(x)
    layers = thin(model, 1.0)
    assert torch.equal(model(x), expected)
    assert list(layers) == ["0", "2", "5"]
    assert not any(isinstance(module, Widen) for module in plain(model).modules())
    assert torch.equal(model(x), expected)


def test_only_what_lives_is_computed_and_learns():
    model, x = net(), torch.randn(3, 1, 8, 8)
    thin(model, 0.1)
    assert model[:2](x).shape == (3, 1, 8, 8)
    model(x).sum().backward()
    grad = model[2].inside.weight.grad
    assert grad[:1, :1].abs().sum() > 0
    assert not grad[1:].any()
    assert not grad[:, 1:].any()


def test_a_grouped_conv_is_refused():
    with pytest.raises(ValueError, match="one group"):
        Widen(nn.Conv2d(4, 4, 3, groups=2))
