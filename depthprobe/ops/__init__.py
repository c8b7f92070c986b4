"""The arithmetic of DropIn and Resize: functions that choose kernel, operator or plain PyTorch (`dispatch.py`)."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from depthprobe.ops import operators as _operators  # noqa: F401  (registers torch.ops.depthprobe)
from depthprobe.ops import reference
from depthprobe.ops.dispatch import by_kernel, same_type
from depthprobe.ops.draws import ENTRIES, draw_mask, threshold_of
from depthprobe.ops.reference import area_and_bicubic, dropin_blend, dropin_masked, fit_channels, path_scales

__all__ = [
    "area_and_bicubic",
    "draw_mask",
    "dropin_bernoulli",
    "dropin_blend",
    "dropin_masked",
    "dropin_prefix",
    "dropin_prefix_resized",
    "dropin_prefix_whole",
    "fit_channels",
    "path_scales",
    "resize",
    "threshold_of",
]


TINY = 4096  # elements up to which, on a CPU, calls cost more than the branches of a selection


def dropin_prefix(new_part: Tensor, old: Tensor, k: int, dim: int) -> Tensor:
    """The first `k` entries of `old` along `dim`, then all of `new_part`.

    new_part: already cut to what was computed, `old.shape` but `n - k` along `dim`; returns `old.shape`, at the ends
    the path itself. Paper, text below equation (1): the first q*n units come from the bypass (printed there: p).
    """
    if 0 < k < old.shape[dim] and old.is_cuda:
        new_part, old = same_type(new_part, old)
        if by_kernel(old, new_part):
            return torch.ops.depthprobe.dropin_prefix(new_part, old, k, dim % old.ndim)  # type: ignore[no-any-return]
    return reference.dropin_prefix(new_part, old, k, dim)


def dropin_prefix_whole(new: Tensor, old: Tensor, k: int, dim: int) -> Tensor:
    """`dropin_prefix` of a new path that was computed whole: both of one shape, which is returned."""
    if type(new) is Tensor and new.numel() <= TINY and new.is_cpu and not torch.compiler.is_compiling():
        new, old = same_type(new, old)
        return dropin_masked(new, old, prefix_mask(k, old.shape[dim], old.ndim - dim - 1))
    return dropin_prefix(new.narrow(dim, k, new.shape[dim] - k), old, k, dim)


@lru_cache(maxsize=1024)
def prefix_mask(k: int, count: int, behind: int) -> Tensor:
    """Bool (count, 1, ...), `behind` ones: false for the first `k`. Kept: making it costs as much as a mix."""
    return (torch.arange(count) >= k).view(count, *(1,) * behind)


def dropin_bernoulli(
    new: Tensor,
    old: Tensor,
    ratio: float,
    seed: int,
    offset: Tensor | int,
    granularity: str = "activation",
    max_scale: float | None = None,
) -> Tensor:
    """Every entry from `new` with probability `ratio`, else from `old`; at the ends the path itself.

    new, old: same shape (B, C, ...). seed, offset: which draws (`draws.py`); offset an int64 scalar on the CPU where
    the call is compiled. granularity: what has a draw of its own: "activation", "channel", "sample".
    max_scale: optional cap of the path scales (`path_scales`). The same draws in the backward pass.
    """
    threshold = threshold_of(ratio)
    if ratio <= 0.0 or ratio >= 1.0:
        return old if ratio <= 0.0 else new
    new, old = same_type(new, old)
    entries, scales = ENTRIES[granularity], path_scales(ratio, max_scale)
    compiling, kernel = torch.compiler.is_compiling(), by_kernel(new, old)
    if compiling or kernel:
        at = offset if isinstance(offset, Tensor) else torch.tensor(offset, dtype=torch.int64, device="cpu")
        if kernel:
            result: Tensor = torch.ops.depthprobe.dropin_bernoulli(new, old, seed, at, threshold, entries, *scales)
            return result
        mask = torch.ops.depthprobe.dropin_draw(new.shape, seed, at, threshold, entries)
        return dropin_masked(new, old, mask.to(new.device), *scales)
    mask = draw_mask(new.shape, seed, int(offset), threshold, entries)
    if not new.is_cpu:
        return dropin_masked(new, old, mask.to(new.device), *scales)
    if new.is_floating_point() and (not entries or new.numel() > TINY):
        return reference.dropin_weighed(new, old, mask, *scales)
    return dropin_masked(new, old, mask, *scales)


def resize(x: Tensor, size: Sequence[int], channels: int, choice: Tensor) -> Tensor:
    """`x` (B, C, *spatial) to (B, channels, *size): area down, bicubic up, channels cut or filled; itself when it fits.

    choice: int64, at least `channels` long, on x's device: which input channel fills each further one (`fit_channels`).
    The backward pass is the true adjoint (paper, appendix A, resizes the gradient instead).
    """
    if tuple(x.shape[1:]) == (channels, *size):
        return x
    if _as_operator(x):
        return torch.ops.depthprobe.resize(x, size, channels, choice)  # type: ignore[no-any-return]
    return reference.resize(x, size, channels, choice)


def dropin_prefix_resized(
    new_part: Tensor, old: Tensor, k: int, dim: int, size: Sequence[int], choice: Tensor
) -> Tensor:
    """`dropin_prefix(new_part, resize(old), k, dim)` that resizes only the `k` samples or channels of `old` it uses.

    new_part: (B - k, C, *size) for dim 0, (B, C - k, *size) for dim 1; old: (B, any, *any); returns (B, C, *size).
    """
    if k > 0:
        new_part, old = same_type(new_part, old)
        if _as_operator(old, new_part):
            return torch.ops.depthprobe.dropin_prefix_resized(  # type: ignore[no-any-return]
                new_part, old, k, dim, size, choice
            )
    return reference.dropin_prefix_resized(new_part, old, k, dim, size, choice)


def _as_operator(x: Tensor, *others: Tensor) -> bool:
    """Whether resizing goes through the registered operator; its kernel takes no volumes."""
    if x.is_cuda and x.ndim > 4:
        return False
    return by_kernel(x, *others) or torch.compiler.is_compiling()
