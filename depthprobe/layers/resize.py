"""Resize: makes a bypass fit the shape of the unit it skips (paper, appendix A, second version)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depthprobe.ops import dropin_prefix_resized, resize


class Resize(nn.Module):
    """Fit (B, C, *spatial) or (B, features) to `shape`, batch excluded.

    Spatial sizes: area average down, bicubic up. Channels: cut to the first ones, or filled with a random
    choice of the input's channels, drawn once and saved. Identity when the shapes agree. The backward pass is
    the true adjoint; the paper resizes the gradient instead (see `layers.paper`), and draws a new choice of
    channels at every step.

    channels: "random" (default) or "cycle" (input channels repeated in order).
    spatial: "auto" (default) or "fixed" (refuse other sizes than the target's).
    """

    choice: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        channels: str = "random",
        spatial: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not shape or any(size < 1 for size in shape):
            raise ValueError(f"shape must name positive sizes without the batch, found {tuple(shape)}")
        if channels not in ("random", "cycle"):
            raise ValueError(f"channels must be 'random' or 'cycle', found {channels!r}")
        if spatial not in ("auto", "fixed"):
            raise ValueError(f"spatial must be 'auto' or 'fixed', found {spatial!r}")
        self.shape, self.channels, self.spatial = tuple(shape), channels, spatial
        count = self.shape[0]
        drawn = torch.randint(2**31, (count,), generator=generator) if channels == "random" else torch.arange(count)
        self.register_buffer("choice", drawn)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, *spatial) with as many dimensions as `shape` plus the batch; returns (B, *shape)."""
        self._check(x)
        return resize(x, self.shape[1:], self.shape[0], self.choice)

    def prefix(self, new_part: Tensor, x: Tensor, k: int, dim: int) -> Tensor:
        """`dropin_prefix(new_part, self(x), k, dim)`, resizing only the `k` samples (dim 0) or channels (dim 1) used.

        new_part: (B - k, *shape), or (B, C - k, ...) with C = shape[0]; x: (B, C', *spatial); returns (B, *shape).
        """
        self._check(x)
        return dropin_prefix_resized(new_part, x, k, dim, self.shape[1:], self.choice)

    def _check(self, x: Tensor) -> None:
        if x.ndim != len(self.shape) + 1:
            raise ValueError(f"Resize to {self.shape} got an input of shape {tuple(x.shape)}")
        if self.spatial == "fixed" and x.shape[2:] != self.shape[1:]:
            raise ValueError(f"Resize with spatial='fixed' expected {self.shape[1:]}, found {tuple(x.shape[2:])}")

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"shape={self.shape}, channels={self.channels!r}"
