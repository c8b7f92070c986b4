"""The Bernoulli draws: exact ends, mean and independence of a million, the same numbers again when needed."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import depthprobe as dp
from depthprobe.errors import TrainingError
from depthprobe.ops import draw_mask, dropin_bernoulli, dropin_masked, threshold_of
from depthprobe.ops.draws import draw_words

MILLION = 1_000_000
# A wrong share of 0.25 % of the draws would be seen: five standard deviations of a mean of a million fair coins.
SIGMAS = 5


def mask_of(ratio, seed=1, offset=0, count=MILLION):
    return draw_mask((count,), seed, offset, threshold_of(ratio)).numpy()


def correlation(a, b):
    return abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(len(a))


def test_the_ends_are_exact_and_what_lies_between_is_never_an_end():
    assert (threshold_of(0.0), threshold_of(1.0)) == (0, 65536)
    assert (threshold_of(1e-12), threshold_of(1 - 1e-12)) == (1, 65535)
    assert not mask_of(0.0, count=1000).any()
    assert mask_of(1.0, count=1000).all()


@pytest.mark.parametrize("ratio", [0.001, 0.1, 0.3, 0.5, 0.9])
def test_a_million_draws_have_the_mean(ratio):
    p = threshold_of(ratio) / 65536
    assert p == pytest.approx(ratio, abs=1 / 131072)
    assert abs(mask_of(ratio).mean() - p) < SIGMAS * np.sqrt(p * (1 - p) / MILLION)


def test_a_million_draws_are_independent_across_elements():
    mask = mask_of(0.3).astype(float)
    for lag in (1, 2, 4, 8, 15, 16, 17, 32, 64, 256, 4096):
        assert correlation(mask[:-lag], mask[lag:]) < SIGMAS, lag


def test_a_million_draws_are_independent_across_calls_and_seeds():
    mask = mask_of(0.3)
    for seed, offset in ((1, 1), (1, 2), (1, 2**32), (2, 0), (2**40 + 1, 0), (-1, 0)):
        assert correlation(mask, mask_of(0.3, seed, offset)) < SIGMAS


def test_words_are_uniform():
    counts = np.bincount(draw_words(64 * MILLION // 16, 5, 6) >> 4, minlength=4096)
    expected = counts.sum() / 4096
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi2 - 4095) < SIGMAS * np.sqrt(2 * 4095)


def test_a_mask_does_not_depend_on_how_many_are_drawn():
    assert np.array_equal(mask_of(0.4, count=37), mask_of(0.4)[:37])


def test_memory_formats_get_the_same_mask():
    new, old = torch.ones(2, 8, 5, 5), torch.zeros(2, 8, 5, 5)
    rows = dropin_bernoulli(new, old, 0.5, 3, 4)
    last = dropin_bernoulli(*(x.contiguous(memory_format=torch.channels_last) for x in (new, old)), 0.5, 3, 4)
    assert torch.equal(rows, last)


@pytest.mark.parametrize("granularity", ["activation", "channel", "sample"])
def test_forward_and_backward_agree_on_a_million_draws(granularity):
    new, old = torch.ones(100, 100, 100, requires_grad=True), torch.zeros(100, 100, 100, requires_grad=True)
    entries = {"activation": 0, "channel": 2, "sample": 1}[granularity]
    draw = (2, torch.tensor(9), threshold_of(0.3), entries, 1.0, 1.0)
    for out in (
        dropin_bernoulli(new, old, 0.3, 2, 9, granularity),
        torch.ops.depthprobe.dropin_bernoulli(new, old, *draw),
    ):
        grads = torch.autograd.grad(out.sum(), (new, old))
        assert torch.equal(grads[0], out.detach())
        assert torch.equal(grads[1], 1 - out.detach())


def test_a_channel_or_sample_has_one_draw():
    mask = draw_mask((6, 4, 9), 1, 2, threshold_of(0.5), entries=2)
    assert mask.shape == (6, 4, 1)
    assert np.array_equal(mask.flatten().numpy(), mask_of(0.5, 1, 2, 24))
    assert draw_mask((6, 4, 9), 1, 2, threshold_of(0.5), entries=1).shape == (6, 1, 1)


def test_the_same_mask_after_resume_and_from_an_older_state():
    def run(layer):
        return layer(torch.ones(1, MILLION), torch.zeros(1, MILLION))

    settings = {"mode": "bernoulli", "granularity": "activation", "ratio": 0.5}
    layer, fresh = dp.DropIn(**settings, seed=5), dp.DropIn(**settings)
    first = run(layer)
    fresh.load_state_dict(layer.state_dict())
    second = run(layer)
    assert torch.equal(run(fresh), second)
    assert not torch.equal(first, second)
    fresh.set_extra_state({"seed": 5, "calls": 0})  # the form that runs written before this file have
    assert torch.equal(run(fresh), first)
    assert fresh.get_extra_state() == {"seed": 5, "calls": 1}


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_draws_the_same_numbers_again(reentrant):
    def gradients(through):
        mix = dp.DropIn("bernoulli", "activation", 0.5, seed=2)
        torch.manual_seed(0)
        unit = nn.Sequential(nn.Linear(16, 16), nn.Tanh())
        x = torch.randn(8, 16, requires_grad=True)
        for _ in range(3):
            through(lambda v: mix(unit(v), v), x).square().sum().backward()
        two = [through(lambda v: mix(unit(v), v), x) for _ in range(2)]  # two calls before one backward pass
        (two[0] * 2 + two[1].square()).sum().backward()
        return x.grad, unit[0].weight.grad, mix.get_extra_state()

    plain = gradients(lambda run, x: run(x))
    again = gradients(lambda run, x: checkpoint(run, x, use_reentrant=reentrant))
    torch.testing.assert_close(again[0], plain[0])
    torch.testing.assert_close(again[1], plain[1])
    assert again[2] == plain[2]  # recomputing is no call of its own


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_layer_called_several_times_in_one_segment_replays_each_mask(reentrant, nested):
    def gradients(through):
        mix = dp.DropIn("bernoulli", "activation", 0.5, seed=2)
        torch.manual_seed(0)
        unit, x = nn.Linear(16, 16), torch.randn(8, 16, requires_grad=True)

        def twice(v):
            return mix(unit(mix(unit(v), v)), v)

        def segment(v):
            return twice(through(twice, v) if nested else twice(v))

        for _ in range(2):
            (through(segment, x) + through(segment, x)).square().sum().backward()
        return x.grad, unit.weight.grad, mix.get_extra_state()

    plain = gradients(lambda run, x: run(x))
    again = gradients(lambda run, x: checkpoint(run, x, use_reentrant=reentrant))
    torch.testing.assert_close(again[0], plain[0])
    torch.testing.assert_close(again[1], plain[1])
    assert again[2] == plain[2]


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_that_drops_the_state_of_the_generator_is_refused_by_name(reentrant):
    mix, unit, x = dp.DropIn("bernoulli", ratio=0.5), nn.Linear(4, 4), torch.ones(8, 4, requires_grad=True)
    out = checkpoint(lambda v: mix(unit(v), v), x, use_reentrant=reentrant, preserve_rng_state=False)
    with pytest.raises(TrainingError, match="preserve_rng_state=True"):
        out.sum().backward()


def test_drawing_leaves_the_generator_of_torch_alone():
    mix, x = dp.DropIn("bernoulli", ratio=0.5), torch.ones(8, 4, requires_grad=True)
    before = torch.get_rng_state()
    mix(x * 2, x).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_scales_are_applied_like_those_of_an_explicit_mask():
    new, old = torch.randn(3, 5), torch.randn(3, 5)
    mask = draw_mask((3, 5), 1, 1, threshold_of(0.25))
    assert torch.equal(
        dropin_bernoulli(new, old, 0.25, 1, 1, max_scale=2.0), dropin_masked(new, old, mask, 2.0, 1 / 0.75)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_the_quick_way_on_a_cpu_picks_the_same_bits(dtype):
    new, old = (torch.randn(64, 33, dtype=torch.float64) * 10 for _ in range(2))
    new, old = ((x * 10.0 ** torch.randint(-4, 4, x.shape)).to(dtype).requires_grad_() for x in (new, old))
    mask = draw_mask(new.shape, 1, 1, threshold_of(0.4))
    quick, plain = dropin_bernoulli(new, old, 0.4, 1, 1), dropin_masked(new, old, mask)
    assert torch.equal(quick, plain)
    direction = torch.randn_like(quick)
    for a, b in zip(*(torch.autograd.grad(out, (new, old), direction) for out in (quick, plain)), strict=True):
        assert torch.equal(a, b)
