"""Flip and crop: every result is a shifted, perhaps mirrored copy of its image, decided by the generator."""

import pytest
import torch

from depthprobe.inputs import flip_and_crop


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def candidates(image, margin):
    """All shifts and flips of one image, (C, H, W), by slicing."""
    _, height, width = image.shape
    padded = torch.nn.functional.pad(image, (margin,) * 4)
    for source in (padded, padded.flip(-1)):
        for top in range(2 * margin + 1):
            for left in range(2 * margin + 1):
                yield source[:, top : top + height, left : left + width]


@pytest.mark.parametrize(("shape", "margin"), [((3, 8, 8), 1), ((1, 16, 10), 2), ((2, 5, 7), 1)])
def test_each_image_is_shifted_and_perhaps_mirrored(shape, margin):
    x = torch.rand(64, *shape) + 1
    out = flip_and_crop(x, generator())
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    seen = [
        next(k for k, c in enumerate(candidates(a, margin)) if torch.equal(b, c)) for a, b in zip(x, out, strict=True)
    ]
    half = (2 * margin + 1) ** 2
    assert 16 <= sum(k >= half for k in seen) <= 48
    assert len({k % half for k in seen}) >= 7


def test_generator_decides_and_input_is_kept():
    x = torch.rand(16, 3, 32, 32)
    before = x.clone()
    state = torch.get_rng_state()
    assert torch.equal(flip_and_crop(x, generator(1)), flip_and_crop(x, generator(1)))
    assert not torch.equal(flip_and_crop(x, generator(1)), flip_and_crop(x, generator(2)))
    assert torch.equal(x, before)
    assert torch.equal(state, torch.get_rng_state())


def test_default_padding_grows_with_the_image():
    x = torch.ones(256, 1, 32, 32)
    zeros = (flip_and_crop(x, generator()) == 0).sum((1, 2, 3))
    assert zeros.max() == 32 * 32 - 28 * 28
    assert torch.equal(flip_and_crop(x, generator(), padding=4), flip_and_crop(x, generator()))


def test_no_padding_only_flips():
    x = torch.rand(32, 1, 4, 4)
    out = flip_and_crop(x, generator(), padding=0)
    assert all(torch.equal(b, a) or torch.equal(b, a.flip(-1)) for a, b in zip(x, out, strict=True))
