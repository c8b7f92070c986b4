"""Reference operators: mixes of a new and an old path, the resizing of a bypass (paper, section 3.1, appendices)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def dropin_prefix(new_part: Tensor, old: Tensor, k: int, dim: int) -> Tensor:
    """The first `k` entries of `old` along `dim`, then all of `new_part`.

    new_part: already cut to what was computed, `old.shape` but `n - k` along `dim`; returns `old.shape`.
    Paper, text below equation (1): the first q*n units come from the bypass (the printed formula has p).
    """
    if k <= 0:
        return new_part
    if k >= old.shape[dim]:
        return old
    return torch.cat((old.narrow(dim, 0, k), new_part), dim)


def dropin_masked(new: Tensor, old: Tensor, mask: Tensor, scale_new: float = 1.0, scale_old: float = 1.0) -> Tensor:
    """`new` where `mask` is true, else `old`; each path optionally scaled (paper, equations 2-5).

    new, old: same shape; mask: bool, broadcastable to it. The Bernoulli mix with an explicit mask.
    """
    if scale_new != 1.0:
        new = new * scale_new
    if scale_old != 1.0:
        old = old * scale_old
    return torch.where(mask, new, old)


def dropin_weighed(new: Tensor, old: Tensor, mask: Tensor, scale_new: float = 1.0, scale_old: float = 1.0) -> Tensor:
    """`dropin_masked` by weights 0 and 1: several times as fast on a CPU, where a random mask mispredicts branches.

    The same bits for finite values; infinity or NaN on the path not taken makes NaN, as 0 * inf in dropout does.
    """
    if scale_new != 1.0:
        new = new * scale_new
    if scale_old != 1.0:
        old = old * scale_old
    return torch.lerp(old, new, mask.to(new.dtype))


def dropin_blend(new: Tensor, old: Tensor, ratio: float) -> Tensor:
    """`ratio * new + (1 - ratio) * old`; the expectation of the Bernoulli mix. Same shapes in and out."""
    if new.dtype != old.dtype:  # autocast casts layers, not lerp
        wide = torch.promote_types(new.dtype, old.dtype)
        new, old = new.to(wide), old.to(wide)
    return torch.lerp(old, new, ratio)


def path_scales(ratio: float, max_scale: float | None) -> tuple[float, float]:
    """Capped scales `min(max_scale, 1/p)`, `min(max_scale, 1/q)` of the new and the old path; (1, 1) when off."""
    if max_scale is None or not 0.0 < ratio < 1.0:
        return 1.0, 1.0
    return min(max_scale, 1.0 / ratio), min(max_scale, 1.0 / (1.0 - ratio))


def area_and_bicubic(x: Tensor, size: Sequence[int]) -> Tensor:
    """Spatial sizes of `x` (B, C, *spatial) to `size`: area average down, bicubic up (linear for 1-d, 3-d)."""
    here = tuple(x.shape[2:])
    if here == tuple(size):
        return x
    down = tuple(min(a, b) for a, b in zip(here, size, strict=True))
    if down != here:
        x = F.interpolate(x, size=down, mode="area")
    if down != tuple(size):
        mode = {1: "linear", 2: "bicubic", 3: "trilinear"}[len(here)]
        x = F.interpolate(x, size=tuple(size), mode=mode, align_corners=False)
    return x


def fit_channels(x: Tensor, channels: int, choice: Tensor) -> Tensor:
    """Channels (dim 1) of `x` cut to the first `channels`, or filled up by the channels that `choice` names.

    choice: int64, at least (channels,), one fixed draw per output channel, read modulo the number of input channels.
    """
    here = x.shape[1]
    if here == channels:
        return x
    if here > channels:
        return x.narrow(1, 0, channels)
    return torch.cat((x, x.index_select(1, choice[here:channels] % here)), 1)


def resize(x: Tensor, size: Sequence[int], channels: int, choice: Tensor) -> Tensor:
    """`x` (B, C, *spatial) to (B, channels, *size): `area_and_bicubic`, then `fit_channels`; itself when it fits."""
    if x.shape[1] > channels:
        x = x.narrow(1, 0, channels)  # before the interpolation: what is cut need not be computed
    if size:
        x = area_and_bicubic(x, size)
    return fit_channels(x, channels, choice)


def dropin_prefix_resized(
    new_part: Tensor, old: Tensor, k: int, dim: int, size: Sequence[int], choice: Tensor
) -> Tensor:
    """`dropin_prefix(new_part, resize(old), k, dim)`, resizing only the `k` samples (dim 0) or channels (dim 1) used.

    new_part: (B - k, C, *size) or (B, C - k, *size); old: (B, any, *any); choice: as in `fit_channels`, C long.
    """
    if k <= 0:
        return new_part
    used, channels = (old.narrow(0, 0, k), new_part.shape[1]) if dim == 0 else (old, k)
    part = resize(used, size, channels, choice)
    return part if new_part.shape[dim] == 0 else torch.cat((part, new_part), dim)
