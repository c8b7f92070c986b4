"""The paper's oddities as its appendices have them."""

import pytest
import torch

from depthprobe.layers.dropin import DropIn
from depthprobe.layers.paper import PAPER_THRESHOLD_END, mix_elements, resize_v1, resize_v1_paper_gradient


@pytest.mark.parametrize("p", [0.25, 0.5, 0.75])
def test_element_boundary_counts_over_channels_height_and_width(p):
    new, old = torch.ones(2, 2, 3, 4), torch.zeros(2, 2, 3, 4)
    out = mix_elements(new, old, p).flatten(1)
    count = int((1 - p) * 24)
    assert out[:, :count].sum() == 0
    assert out[:, count:].all()


@pytest.mark.parametrize(("p", "old_scale", "new_scale"), [(0.25, 4 / 3, 2.0), (0.5, 2.0, 2.0), (0.9, 2.0, 1 / 0.9)])
def test_paths_are_scaled_up_to_the_cap(p, old_scale, new_scale):
    layer = DropIn("prefix", "activation", p, max_scale=2.0)
    out = layer(torch.ones(1, 100), torch.full((1, 100), 3.0))
    count = int((1 - p) * 100)
    assert torch.allclose(out[:, :count], torch.tensor(3.0 * old_scale))
    assert torch.allclose(out[:, count:], torch.tensor(new_scale))


def test_element_boundary_cuts_the_ends():
    new, old = torch.ones(1, 200), torch.zeros(1, 200)
    assert mix_elements(new, old, 0.5 * PAPER_THRESHOLD_END) is old
    assert mix_elements(new, old, 1 - 0.5 * PAPER_THRESHOLD_END) is new


def test_first_resize_crops_fills_with_zeros_and_repeats_the_last_channel():
    x = torch.arange(1.0, 19.0).view(1, 2, 3, 3)
    out = resize_v1(x, (4, 2, 5))
    assert out.shape == (1, 4, 2, 5)
    assert torch.equal(out[:, :2, :, :3], x[:, :, :2])
    assert not out[..., 3:].any()
    assert torch.equal(out[:, 2], out[:, 1])
    assert torch.equal(out[:, 3], out[:, 1])
    assert torch.equal(resize_v1(x, (1, 3, 3)), x[:, :1])


def test_paper_gradient_is_resized_and_not_the_adjoint():
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    direction = torch.randn(1, 3, 3, 5)
    (paper,) = torch.autograd.grad((resize_v1_paper_gradient(x, (3, 3, 5)) * direction).sum(), x)
    (adjoint,) = torch.autograd.grad((resize_v1(x, (3, 3, 5)) * direction).sum(), x)
    assert torch.equal(resize_v1_paper_gradient(x, (3, 3, 5)), resize_v1(x, (3, 3, 5)))
    assert torch.equal(paper, resize_v1(direction, (2, 4, 4)))
    assert torch.allclose(paper[:, 0], adjoint[:, 0])
    assert not torch.allclose(paper[:, 1], adjoint[:, 1])  # the adjoint sums over the repeated channel
