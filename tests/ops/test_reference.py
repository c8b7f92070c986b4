"""The plain-PyTorch operators against the formulas they stand for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthprobe.ops import dropin_blend, dropin_masked, dropin_prefix, fit_channels, path_scales

NEW, OLD = torch.randn(4, 6, 3, dtype=torch.float64), torch.randn(4, 6, 3, dtype=torch.float64)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_prefix_at_every_boundary(dim):
    count = OLD.shape[dim]
    for k in range(count + 1):
        out = dropin_prefix(NEW.narrow(dim, k, count - k), OLD, k, dim)
        assert torch.equal(out.narrow(dim, 0, k), OLD.narrow(dim, 0, k))
        assert torch.equal(out.narrow(dim, k, count - k), NEW.narrow(dim, k, count - k))
    assert dropin_prefix(NEW, OLD, 0, dim) is NEW
    assert dropin_prefix(NEW[:0], OLD, count, dim) is OLD


def test_gradients_of_the_mixes():
    new, old = NEW.clone().requires_grad_(), OLD.clone().requires_grad_()
    mask = torch.rand(4, 6, 1) < 0.5
    assert torch.autograd.gradcheck(lambda a, b: dropin_prefix(a[:, 2:], b, 2, 1), (new, old))
    assert torch.autograd.gradcheck(lambda a, b: dropin_masked(a, b, mask, 2.0, 3.0), (new, old))
    assert torch.autograd.gradcheck(lambda a, b: dropin_blend(a, b, 0.3), (new, old))


def test_bernoulli_picks_and_scales():
    mask = torch.rand(4, 6, 3) < 0.5
    assert torch.equal(dropin_masked(NEW, OLD, mask), torch.where(mask, NEW, OLD))
    assert torch.equal(dropin_masked(NEW, OLD, mask, 2.0, 4.0), torch.where(mask, 2 * NEW, 4 * OLD))


def test_blend_promotes_mixed_precision():
    out = dropin_blend(NEW.bfloat16(), OLD.float(), 0.5)
    assert out.dtype == torch.float32
    assert torch.allclose(out, 0.5 * NEW.bfloat16().float() + 0.5 * OLD.float(), atol=1e-6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(ratio=st.floats(0.0, 1.0), cap=st.floats(1.0, 100.0))
def test_path_scales_are_capped_inverses_inside_and_one_at_the_ends(ratio, cap):
    new, old = path_scales(ratio, cap)
    assert path_scales(ratio, None) == (1.0, 1.0)
    if ratio in (0.0, 1.0):
        assert (new, old) == (1.0, 1.0)
    else:
        assert (new, old) == (min(cap, 1 / ratio), min(cap, 1 / (1 - ratio)))


def test_fit_channels_reads_the_choice_modulo_the_input():
    x, choice = torch.randn(2, 3), torch.tensor([0, 0, 0, 7, 2**31 - 1])
    assert torch.equal(fit_channels(x, 5, choice), x[:, [0, 1, 2, 7 % 3, (2**31 - 1) % 3]])
    assert fit_channels(x, 3, choice) is x
    assert torch.equal(fit_channels(x, 2, choice), x[:, :2])
