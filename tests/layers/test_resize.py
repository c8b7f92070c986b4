"""Resize fits any shape, leaves a fitting one alone, and its backward is the true adjoint."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import depthprobe as dp

sizes = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data(), target=sizes, channels=st.sampled_from(["random", "cycle"]))
def test_shapes_adjoint_and_channels(data, target, channels):
    source = data.draw(st.lists(st.integers(1, 7), min_size=len(target), max_size=len(target)))
    resize = dp.Resize(target, channels=channels)
    x = torch.randn(2, *source, dtype=torch.float64, requires_grad=True)
    out = resize(x)
    assert out.shape == (2, *target)
    if source == target:
        assert out is x
    direction = torch.randn_like(out)
    (adjoint,) = torch.autograd.grad((out * direction).sum(), x)
    probe = torch.randn_like(x)
    assert torch.allclose((resize(probe) * direction).sum(), (probe * adjoint).sum())  # <Rx, y> = <x, R'y>


@pytest.mark.parametrize(
    ("source", "target"), [((3,), (5,)), ((2, 6), (3, 4)), ((3, 6, 6), (2, 4, 9)), ((1, 3, 3, 3), (2, 2, 4, 3))]
)
def test_gradcheck(source, target):
    x = torch.randn(2, *source, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(dp.Resize(target), (x,))


def test_spatial_down_is_area_and_up_is_bicubic():
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(dp.Resize((3, 4, 4))(x), F.avg_pool2d(x, 2))
    assert torch.equal(dp.Resize((3, 5, 3))(x), F.interpolate(x, (5, 3), mode="area"))
    up = F.interpolate(x, (16, 12), mode="bicubic", align_corners=False)
    assert torch.equal(dp.Resize((3, 16, 12))(x), up)
    mixed = F.interpolate(F.interpolate(x, (4, 8), mode="area"), (4, 16), mode="bicubic", align_corners=False)
    assert torch.equal(dp.Resize((3, 4, 16))(x), mixed)


def test_constant_images_stay_constant():
    x = torch.full((1, 2, 5, 7), 3.0)
    assert torch.allclose(dp.Resize((4, 8, 3))(x), torch.tensor(3.0), atol=1e-5)


def test_channels_are_cut_to_the_first_and_filled_from_the_input():
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(dp.Resize((2, 3, 3))(x), x[:, :2])
    out = dp.Resize((9, 3, 3), generator=torch.Generator().manual_seed(0))(x)
    assert torch.equal(out[:, :4], x)
    for channel in range(4, 9):
        assert any(torch.equal(out[:, channel], x[:, source]) for source in range(4))
    assert torch.equal(dp.Resize((9, 3, 3), channels="cycle")(x), x[:, [0, 1, 2, 3, 0, 1, 2, 3, 0]])


def test_choice_is_drawn_once_saved_and_reproducible():
    def make(seed):
        return dp.Resize((64,), generator=torch.Generator().manual_seed(seed))

    x = torch.randn(2, 4)
    one, other = make(1), make(2)
    assert torch.equal(one(x), one(x))
    assert torch.equal(one(x), make(1)(x))
    assert not torch.equal(one(x), other(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"shape": ()}, "positive sizes"),
        ({"shape": (3, 0)}, r"positive sizes .* \(3, 0\)"),
        ({"shape": (3,), "channels": "zeros"}, "'zeros'"),
        ({"shape": (3,), "spatial": "crop"}, "'crop'"),
    ],
)
def test_refuses_what_it_does_not_know(settings, reason):
    with pytest.raises(ValueError, match=reason):
        dp.Resize(**settings)


def test_refuses_inputs_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(3, 4, 4\) got an input of shape \(2, 5\)"):
        dp.Resize((3, 4, 4))(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="fixed"):
        dp.Resize((3, 4, 4), spatial="fixed")(torch.zeros(2, 3, 5, 4))
