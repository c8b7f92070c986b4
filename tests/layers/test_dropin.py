"""DropIn: modes and granularities, exact ends, masks from a recorded seed."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import depthprobe as dp
from depthprobe.layers.dropin import GRANULARITIES, MODES

NEW, OLD = torch.ones(6, 8, 5, 5), torch.zeros(6, 8, 5, 5)


def share(layer, new=NEW, old=OLD):
    return float(layer(new, old).mean())


@pytest.mark.parametrize(("mode", "granularity"), list(itertools.product(MODES, GRANULARITIES)))
@pytest.mark.parametrize("training", [True, False])
def test_ends_are_the_paths_themselves(mode, granularity, training):
    layer = dp.DropIn(mode=mode, granularity=granularity, ratio=0.0, max_scale=4.0).train(training)
    assert layer(NEW, OLD) is OLD
    layer.ratio = 1.0
    assert layer(NEW, OLD) is NEW


@settings(max_examples=100, deadline=None, derandomize=True)
@given(p=st.floats(0.0, 1.0), granularity=st.sampled_from(["sample", "channel"]))
def test_prefix_takes_the_first_entries_from_the_old_path(p, granularity):
    dim, count = (0, 6) if granularity == "sample" else (1, 8)
    out = dp.DropIn(granularity=granularity, ratio=p)(NEW, OLD)
    entries = out.transpose(0, dim).flatten(1)
    assert (entries == entries[:, :1]).all()
    line = entries[:, 0]
    assert torch.equal(line, line.sort().values)  # old first, then new
    assert abs(int(line.sum()) - p * count) <= 0.5 + 1e-9


def test_prefix_of_activations_may_cut_a_channel():
    new, old = torch.ones(2, 3, 4), torch.zeros(2, 3, 4)
    out = dp.DropIn(granularity="activation", ratio=0.5)(new, old)
    assert torch.equal(out.flatten(1), torch.cat((torch.zeros(2, 6), torch.ones(2, 6)), 1))


def test_prefix_of_samples_mixes_channels_at_evaluation():
    layer = dp.DropIn(granularity="sample", ratio=0.25).eval()
    assert torch.equal(layer(NEW, OLD)[:, :, 0, 0], torch.tensor([0.0] * 6 + [1.0] * 2).expand(6, 8))


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_bernoulli_draws_anew_each_step_and_expects_at_evaluation(granularity):
    layer = dp.DropIn(mode="bernoulli", granularity=granularity, ratio=0.3, seed=1)
    masks = [layer(NEW, OLD) for _ in range(400)]
    assert not all(torch.equal(masks[0], mask) for mask in masks)
    assert set(torch.stack(masks).unique().tolist()) == {0.0, 1.0}
    assert torch.stack(masks).mean() == pytest.approx(0.3, abs=0.05)
    axes = {"sample": (1, 2, 3), "channel": (2, 3), "activation": ()}[granularity]
    for axis in axes:  # one draw per entry, not per element
        assert torch.equal(masks[1], masks[1].select(axis, 0).unsqueeze(axis).expand_as(NEW))
    assert torch.allclose(layer.eval()(NEW, OLD), torch.full_like(NEW, 0.3))


def test_masks_come_from_the_recorded_seed_alone():
    def draw(layer, rounds=3):
        return torch.stack([layer(NEW, OLD) for _ in range(rounds)])

    one, two, three = (dp.DropIn(mode="bernoulli", granularity="activation", ratio=0.5, seed=s) for s in (7, 7, 8))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = draw(one)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(draw(two), first)
    assert not torch.equal(draw(three), first)
    three.load_state_dict(one.state_dict())  # a resumed run goes on drawing where it stopped
    assert torch.equal(draw(three), draw(one))


def test_bernoulli_gradient_follows_the_mask():
    layer = dp.DropIn(mode="bernoulli", granularity="activation", ratio=0.5, max_scale=1.5)
    new, old = NEW.clone().requires_grad_(), OLD.clone().requires_grad_()
    out = layer(new, old)
    out.sum().backward()
    assert torch.equal(new.grad, out.detach())  # scale where taken, zero elsewhere
    assert torch.equal(old.grad, 1.5 * (out.detach() == 0))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(p=st.floats(0.0, 1.0), granularity=st.sampled_from(GRANULARITIES), training=st.booleans())
def test_blend_is_the_expectation(p, granularity, training):
    layer = dp.DropIn(mode="blend", granularity=granularity, ratio=p).train(training)
    new, old = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    assert torch.allclose(layer(new, old), p * new + (1 - p) * old)


def test_ratio_lives_in_a_buffer_and_crosses_state_dict():
    layer, other = dp.DropIn(ratio=0.37), dp.DropIn()
    assert "ratio_saved" in dict(layer.named_buffers())
    other.load_state_dict(layer.state_dict())
    assert other.ratio == 0.37
    assert share(other) == share(layer)


def test_refusals_name_the_culprit():
    with pytest.raises(ValueError, match=r"mode must be one of .*'average'"):
        dp.DropIn(mode="average")
    with pytest.raises(ValueError, match=r"granularity must be one of .*'pixel'"):
        dp.DropIn(granularity="pixel")
    with pytest.raises(ValueError, match="ratio must lie in"):
        dp.DropIn(ratio=1.01)
    with pytest.raises(ValueError, match=r"equal shapes, found new \(6, 8, 5, 5\), old \(6, 8, 5\)"):
        dp.DropIn()(NEW, OLD[..., 0])


@pytest.mark.parametrize("granularity", ["sample", "channel"])
@pytest.mark.parametrize("mode", ["prefix", "bernoulli"])
def test_tiny_and_large_tensors_are_mixed_alike_forward_and_backward(mode, granularity):
    """A CPU selects entries of tiny tensors and weighs or joins those of large ones: the same numbers."""
    new, old = torch.randn(8, 6, 2, 2), torch.randn(8, 6, 2, 2)
    wide = [x.repeat(1, 1, 8, 8).requires_grad_() for x in (new, old)]
    tiny = [x.clone().requires_grad_() for x in (new, old)]
    for pair in (tiny, wide):
        dp.DropIn(mode, granularity, 0.4, seed=3).train()(*pair).sum().backward()
    assert wide[0].numel() > 4096 > tiny[0].numel()
    for small, large in zip(tiny, wide, strict=True):
        assert 0 < small.grad.count_nonzero() < small.numel()
        assert torch.equal(small.grad, large.grad[:, :, :2, :2])
