"""DropIn: mixes a new path with an old one by a ratio (paper, section 3)."""

import math

import torch
from torch import Tensor

from depthprobe.layers.paper import mix_elements
from depthprobe.layers.ratio import RatioModule
from depthprobe.ops import dropin_bernoulli, dropin_blend, dropin_prefix, path_scales

MODES = ("prefix", "bernoulli", "blend")
GRANULARITIES = ("channel", "activation", "sample")


class DropIn(RatioModule):
    """`out = mix(new, old, ratio)`, both of shape (B, C, ...), the ends exact.

    mode "prefix": the first (1-p)*n samples, channels or activations are `old`, the rest `new` (equation 1 as its
    text has it). "bernoulli": each entry is `new` with probability p, drawn anew each training step; at
    evaluation the expectation p*new + (1-p)*old. "blend": that expectation always.
    granularity: what is counted or drawn: "sample", "channel" (dim 1), "activation" (single elements).
    At evaluation, prefix over samples would only interpolate two accuracies: channels are mixed instead.
    max_scale: optional cap of the Bernoulli path scales (paper's max scale; default off).
    """

    def __init__(
        self,
        mode: str = "prefix",
        granularity: str = "channel",
        ratio: float = 0.0,
        max_scale: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(ratio)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, found {mode!r}")
        if granularity not in GRANULARITIES:
            raise ValueError(f"granularity must be one of {GRANULARITIES}, found {granularity!r}")
        self.mode, self.granularity, self.max_scale = mode, granularity, max_scale
        self._seed, self._calls = seed, 0

    def forward(self, new: Tensor, old: Tensor) -> Tensor:
        """new, old: (B, C, ...), same shape; returns that shape."""
        if new.shape != old.shape:
            raise ValueError(f"DropIn needs equal shapes, found new {tuple(new.shape)}, old {tuple(old.shape)}")
        p = self.ratio
        if p <= 0.0:
            return old
        if p >= 1.0:
            return new
        if self.mode == "prefix":
            return self._prefix(new, old, p)
        if self.mode == "bernoulli" and self.training:
            return dropin_bernoulli(new, old, self._draw(new, p), *path_scales(p, self.max_scale))
        return dropin_blend(new, old, p)

    def _prefix(self, new: Tensor, old: Tensor, p: float) -> Tensor:
        if self.granularity == "activation":
            return mix_elements(new, old, p)
        dim = 0 if self.granularity == "sample" and self.training else 1
        k = skipped(p, new.shape[dim])
        return dropin_prefix(new.narrow(dim, k, new.shape[dim] - k), old, k, dim)

    def _draw(self, like: Tensor, p: float) -> Tensor:
        """A mask from a recorded seed and a counter: the same in every replay."""
        rank = {"sample": 1, "channel": 2, "activation": like.ndim}[self.granularity]
        shape = tuple(like.shape[:rank]) + (1,) * (like.ndim - rank)
        generator = torch.Generator(device=like.device).manual_seed(hash((self._seed, self._calls)) & (2**63 - 1))
        self._calls += 1
        return torch.rand(shape, generator=generator, device=like.device) < p

    def get_extra_state(self) -> dict[str, int]:
        """Seed and counter of the masks: a resumed run draws the same ones."""
        return {"seed": self._seed, "calls": self._calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore what `get_extra_state` gave."""
        self._seed, self._calls = state["seed"], state["calls"]

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"mode={self.mode!r}, granularity={self.granularity!r}, ratio={self.ratio:.3g}"


def skipped(ratio: float, count: int) -> int:
    """How many of `count` samples or channels take the bypass at `ratio`: (1-p)*n, to the nearest integer."""
    return min(count, max(0, math.floor((1.0 - ratio) * count + 0.5)))
