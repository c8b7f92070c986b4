"""The paper's oddities, for fidelity runs only: plain PyTorch, no kernels, no options elsewhere.

Appendix A (first Resize: crop, zero-fill, repeat the last channel; gradient resized instead of transposed) and
appendix B (the prefix counted over the elements of one sample's C*H*W, ends cut at 0.01 and 0.99).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

PAPER_THRESHOLD_END = 0.01


def mix_elements(new: Tensor, old: Tensor, ratio: float, max_scale: float | None = None) -> Tensor:
    """Prefix mix with an element-wise boundary: of each sample's n activations the first (1-p)*n are `old`.

    new, old: (B, ...), same shape. max_scale: the paths are scaled by min(max_scale, 1/p) and min(max_scale, 1/q);
    None or 1 for not. Paper, section 3.1 text, section 4.2 for the scale; the boundary may cut a channel.
    """
    q = 1.0 - ratio
    if q > 1.0 - PAPER_THRESHOLD_END:
        return old
    if q <= PAPER_THRESHOLD_END:
        return new
    count = int(q * new[0].numel())
    skipped, entered = old.flatten(1)[:, :count], new.flatten(1)[:, count:]
    if max_scale is not None and max_scale > 1.0:
        skipped, entered = skipped * min(max_scale, 1.0 / q), entered * min(max_scale, 1.0 / ratio)
    flat = torch.cat((skipped, entered), 1)
    return flat.view(new.shape)


def resize_v1(x: Tensor, shape: Sequence[int]) -> Tensor:
    """First version: crop from the upper left, fill with zeros, drop or repeat the last channel.

    x: (B, C, H, W); shape: (C, H, W) wanted.
    """
    channels, height, width = shape
    out = x.new_zeros((x.shape[0], x.shape[1], height, width))
    h, w = min(height, x.shape[2]), min(width, x.shape[3])
    out[:, :, :h, :w] = x[:, :, :h, :w]
    if channels <= out.shape[1]:
        return out[:, :channels]
    last = out[:, -1:].expand(-1, channels - out.shape[1], -1, -1)
    return torch.cat((out, last), 1)


class _ResizedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: Sequence[int]) -> Tensor:
        ctx.shape = tuple(x.shape[1:])
        return resize_v1(x, shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return resize_v1(grads[0], ctx.shape), None


def resize_v1_paper_gradient(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`resize_v1` whose backward resizes the gradient like an image, as the paper's code does (no adjoint)."""
    return _ResizedGradient.apply(x, shape)  # type: ignore[no-untyped-call, no-any-return]
