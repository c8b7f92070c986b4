"""The operators against NumPy transcriptions of the appendices: DropIn's copies and thresholds, the first Resize."""

import numpy as np
import pytest
import torch

from depthprobe.layers.paper import mix_elements, resize_v1, resize_v1_paper_gradient
from depthprobe.ops import draw_mask, dropin_bernoulli, dropin_masked, dropin_prefix, path_scales, threshold_of


def caffe_gradual(bottom, prev_bottom, threshold):
    """Appendix B, dropin.cu, lines 46-61: one flat copy over the blob, without scaling."""
    bottom, prev_bottom = bottom.ravel(), prev_bottom.ravel()
    top = np.empty_like(bottom)
    count = bottom.size
    if threshold > 0.99:
        top[:] = prev_bottom
    elif threshold > 0.01:
        count2 = int(threshold * count)
        top[:count2] = prev_bottom[:count2]
        top[count2:] = bottom[count2:]
    else:
        top[:] = bottom
    return top


def caffe_gradual_backward(top_diff, threshold):
    """Lines 96-112: the differences go where the values came from. Returns those of bottom and of prev_bottom."""
    count = top_diff.size
    count2 = count if threshold > 0.99 else int(threshold * count) if threshold > 0.01 else 0
    bottom, prev = np.zeros(count), np.zeros(count)
    prev[:count2], bottom[count2:] = top_diff.ravel()[:count2], top_diff.ravel()[count2:]
    return bottom, prev


def caffe_random(bottom, prev_bottom, mask, threshold, scale, scale2):
    """Lines 19-20, for every index."""
    return bottom * (mask > threshold) * scale + prev_bottom * (mask <= threshold) * scale2


def first_resize(blob, channels, height, width):
    """Appendix A, text: crop from the upper left or fill with 0s; the first channels, or the last one repeated."""
    number, have, old_height, old_width = blob.shape
    out = np.zeros((number, channels, height, width))
    for n in range(number):
        for c in range(channels):
            for h in range(min(height, old_height)):
                for w in range(min(width, old_width)):
                    out[n, c, h, w] = blob[n, min(c, have - 1), h, w]
    return out


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("k", range(9))
def test_the_prefix_of_samples_is_the_copy_over_the_blob(k):
    new, old = draw(8, 3, 2, 2).requires_grad_(), draw(8, 3, 2, 2).requires_grad_()
    for out in (dropin_prefix(new[k:], old, k, 0), torch.ops.depthprobe.dropin_prefix(new[k:], old, k, 0)):
        expected = caffe_gradual(new.detach().numpy(), old.detach().numpy(), k / 8)
        assert np.array_equal(out.detach().numpy().ravel(), expected)
        diff = draw(8, 3, 2, 2)
        grads = torch.autograd.grad(out, (new, old), diff, allow_unused=True)
        for mine, theirs in zip(grads, caffe_gradual_backward(diff.numpy(), k / 8), strict=True):
            assert np.array_equal(np.zeros(96) if mine is None else mine.numpy().ravel(), theirs)


@pytest.mark.parametrize("ratio", [0.0, 0.005, 0.009, 0.0101, 0.1, 1 / 3, 0.5, 0.77, 0.98, 0.9899, 0.991, 1.0])
def test_elements_follow_the_thresholds_of_the_code(ratio):
    new, old = draw(3, 4, 5, 7), draw(3, 4, 5, 7)
    out = mix_elements(new, old, ratio)
    for i in range(3):
        assert np.array_equal(out[i].numpy().ravel(), caffe_gradual(new[i].numpy(), old[i].numpy(), 1.0 - ratio))


@pytest.mark.parametrize(("ratio", "cap"), [(0.3, None), (0.3, 2.0), (0.9, 2.0), (0.5, 100.0)])
def test_the_random_mix_and_its_scales_are_those_of_the_code(ratio, cap):
    new, old = draw(6, 5, 4), draw(6, 5, 4)
    random = np.random.default_rng(1).integers(0, 2**32, (6, 5, 4), dtype=np.uint32)
    threshold = int((2**32 - 1) * (1.0 - ratio))
    scale, scale2 = (1.0, 1.0) if cap is None else (min(cap, 1 / ratio), min(cap, 1 / (1 - ratio)))
    assert path_scales(ratio, cap) == (pytest.approx(scale), pytest.approx(scale2))
    out = dropin_masked(new, old, torch.from_numpy(random > threshold), *path_scales(ratio, cap))
    np.testing.assert_allclose(out.numpy(), caffe_random(new.numpy(), old.numpy(), random, threshold, scale, scale2))
    mask = draw_mask(new.shape, 1, 2, threshold_of(ratio)).numpy()
    mine = dropin_bernoulli(new, old, ratio, 1, 2, max_scale=cap).numpy()
    np.testing.assert_allclose(mine, caffe_random(new.numpy(), old.numpy(), mask, 0, scale, scale2))


@pytest.mark.parametrize("shape", [(3, 4, 4), (5, 2, 2), (1, 6, 6), (3, 3, 5), (4, 8, 1)])
def test_the_first_resize_and_its_gradient(shape):
    channels, height, width = shape
    x = draw(2, 3, 4, 4).requires_grad_()
    assert np.array_equal(
        resize_v1(x, (channels, height, width)).detach().numpy(),
        first_resize(x.detach().numpy(), channels, height, width),
    )
    diff = draw(2, channels, height, width)
    (grad,) = torch.autograd.grad(resize_v1_paper_gradient(x, (channels, height, width)), x, diff)
    assert np.array_equal(grad.numpy(), first_resize(diff.numpy(), 3, 4, 4))  # the same function, on the differences
