"""The arithmetic of DropIn and Resize in plain PyTorch: correct everywhere, the reference for any kernel."""

from depthprobe.ops.reference import (
    area_and_bicubic,
    dropin_bernoulli,
    dropin_blend,
    dropin_prefix,
    fit_channels,
    path_scales,
)

__all__ = [
    "area_and_bicubic",
    "dropin_bernoulli",
    "dropin_blend",
    "dropin_prefix",
    "fit_channels",
    "path_scales",
]
