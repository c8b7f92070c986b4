"""DropIn: mixes a new path with an old one by a ratio (paper, section 3)."""

import math

import torch
from torch import Tensor

from depthprobe.errors import TrainingError
from depthprobe.layers.paper import mix_elements
from depthprobe.layers.part import part_of
from depthprobe.layers.ratio import RatioModule
from depthprobe.ops import dropin_bernoulli, dropin_blend, dropin_prefix_whole

MODES = ("prefix", "bernoulli", "blend")
GRANULARITIES = ("channel", "activation", "sample")
REMEMBERED_CALLS = 4096


class DropIn(RatioModule):
    """`out = mix(new, old, ratio)`, both of shape (B, C, ...), the ends exact.

    mode "prefix": the first (1-p)*n samples, channels or activations are `old`, the rest `new` (equation 1 as its
    text has it). "bernoulli": each entry is `new` with probability p, drawn anew each training step; at
    evaluation the expectation p*new + (1-p)*old. "blend": that expectation always.
    granularity: what is counted or drawn: "sample", "channel" (dim 1), "activation" (single elements).
    At evaluation, prefix over samples would only interpolate two accuracies: channels are mixed instead.
    max_scale: optional cap of the path scales (paper's max scale; default off), of Bernoulli mixes and of prefixes of
    activations.
    seed: of the Bernoulli draws. Call number n of a layer draws stream n of its seed, the same on every device and in
    every memory format; the number is saved, so a resumed run goes on drawing where it stopped. Activation
    checkpointing draws the same numbers again: a call in a checkpointed segment is known by a number from torch's
    generator, whose state the checkpoint keeps (preserve_rng_state, its default).
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
        # Calls in compiled code are counted in a tensor, an input of the graph: an integer that moves is compiled anew.
        self._traced = torch.zeros((), dtype=torch.int64, device="cpu")
        self._replayable: dict[int, int] = {}  # call numbers, by what torch's generator gave for each

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
            return dropin_bernoulli(new, old, p, self._seed, self._stream(len(new)), self.granularity, self.max_scale)
        return dropin_blend(new, old, p)

    def _prefix(self, new: Tensor, old: Tensor, p: float) -> Tensor:
        if self.granularity == "activation":
            return mix_elements(new, old, p, self.max_scale)
        dim = 0 if self.granularity == "sample" and self.training else 1
        k = skipped(p, new.shape[dim])
        return dropin_prefix_whole(new, old, k, dim)

    def _stream(self, batch: int) -> Tensor | int:
        """The stream of this call. Parts of a batch draw from streams of their own: other masks than the whole batch's,
        but independent ones.
        """
        call, part = self._next_call(), None if torch.compiler.is_compiling() else part_of(batch)
        return call if part is None else call * part.of + part.index

    def _next_call(self) -> Tensor | int:
        """The number of this call; while a backward pass recomputes, that of the call that is done again."""
        if torch.compiler.is_compiling():
            self._traced = self._traced + 1
            return self._traced + (self._calls - 1)
        if torch._C._current_graph_task_id() != -1 and self._replayable:
            return self._redone()
        call = self._calls + int(self._traced)
        self.__dict__["_calls"] += 1  # nn.Module's own __setattr__ would cost as much as drawing
        if _may_be_redone():
            self._replayable[_ticket()] = call
            if len(self._replayable) > REMEMBERED_CALLS:
                del self._replayable[next(iter(self._replayable))]
        return call

    def _redone(self) -> int:
        call = self._replayable.get(_ticket())
        if call is None:
            raise TrainingError(
                "a checkpointed DropIn cannot draw the masks of its forward pass again",
                where="torch.utils.checkpoint",
                expected="preserve_rng_state=True (its default)"
                f", and at most {REMEMBERED_CALLS} calls of one layer before backward",
                hint="checkpoint(function, ..., preserve_rng_state=True)",
            )
        return call

    def get_extra_state(self) -> dict[str, int]:
        """Seed and number of calls: a resumed run draws the same masks."""
        return {"seed": self._seed, "calls": self._calls + int(self._traced)}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore what `get_extra_state` gave."""
        self._seed, self._calls = state["seed"], state["calls"]
        self._traced = torch.zeros_like(self._traced)
        self._replayable.clear()

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"mode={self.mode!r}, granularity={self.granularity!r}, ratio={self.ratio:.3g}"


def skipped(ratio: float, count: int) -> int:
    """How many of `count` samples or channels take the bypass at `ratio`: (1-p)*n, to the nearest integer."""
    return min(count, max(0, math.floor((1.0 - ratio) * count + 0.5)))


def _may_be_redone() -> bool:
    """Whether this may be the forward pass of a checkpointed segment: what it saves goes elsewhere, or nothing is."""
    return not torch.is_grad_enabled() or torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def _ticket() -> int:
    """A number that comes again when a checkpoint puts torch's generator back to run a segment anew."""
    return int(torch.randint(2**62, (), device="cpu"))
