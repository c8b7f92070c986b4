"""Gate: a unit wrapped with a bypass, and GateChain: consecutive gates that share their splits."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from depthprobe.layers.channels import by_channels
from depthprobe.layers.dropin import DropIn, skipped
from depthprobe.layers.part import Part, part_of
from depthprobe.layers.share import coarse, share_of
from depthprobe.ops import dropin_blend, dropin_prefix

_BATCH_NORMS = nn.modules.batchnorm._BatchNorm


class Gate(nn.Module):
    """`out = mix(inside(x), bypass(x), ratio)`; what the ratio skips is not computed.

    inside: the unit; bypass: None (identity) or a Resize that fits the input to the unit's output.
    At ratio 0 the unit does not run; at 1 only the unit runs. In training, granularity "sample" sends the first
    (1-p)*B samples around the unit, "channel" computes only the last p*C channels where the unit allows.
    With 0 < p < 1 at evaluation, prefix gates mix channels where the unit can be split by channels, and blend
    elsewhere. coupled: the unit's samples depend on each other, so they are not split (blended instead); spoils: the
    unit overwrites its input, so it gets a copy while the bypass needs it too; fresh: what the unit returns is
    overwritten later, so that the bypass must not hand out its very input.
    """

    def __init__(
        self,
        inside: nn.Module,
        *,
        bypass: nn.Module | None = None,
        mode: str = "prefix",
        granularity: str = "sample",
        ratio: float = 0.0,
        max_scale: float | None = None,
        seed: int = 0,
        coupled: bool = False,
        spoils: bool = False,
        fresh: bool = False,
    ) -> None:
        super().__init__()
        self.inside, self.bypass = inside, bypass
        self.coupled, self.spoils, self.fresh = coupled, spoils, fresh
        self.mix = DropIn(mode, granularity, ratio, max_scale, seed)
        self._norms = [m for m in inside.modules() if isinstance(m, _BATCH_NORMS)]

    @property
    def ratio(self) -> float:
        """Share of the output taken from the unit (0: skipped, 1: fully in)."""
        return self.mix.ratio

    @ratio.setter
    def ratio(self, value: float) -> None:
        self.mix.ratio = value

    def splits(self, batch: int) -> bool:
        """Whether this gate, as it stands, lets some of `batch` samples around the unit (training, prefix, per sample).

        Not a batch of fewer than 16 with BatchNorm: it is mixed as at evaluation, and no share is jumped over.
        """
        mix = self.mix
        if not (self.training and mix.mode == "prefix" and mix.granularity == "sample") or self.coupled:
            return False
        return not (self._norms and coarse(_part(batch)))

    def skip(self, batch: int) -> int:
        """How many of `batch` samples take the bypass; BatchNorm gets none or at least 8 (all of a smaller part).

        Where `batch` is a part of a larger one, the share of that counts, and the samples that skip are its first ones
        as long as every part keeps enough for BatchNorm.
        """
        part = _part(batch)
        skipping = skipped(self.ratio, part.batch)
        return share_of(part, skipping).skip if self._norms else part.first(skipping)

    def around(self, x: Tensor) -> Tensor:
        """The bypass alone. x: the unit's input; returns the unit's output shape."""
        if self.bypass is None:
            return x.clone() if self.fresh else x
        return self.bypass(x)  # type: ignore[no-any-return]

    def through(self, x: Tensor, batch: int) -> Tensor:
        """The unit on those of `batch` samples that do not skip; running statistics weigh by their share."""
        if not self._norms:
            return self._whole(x)
        with self.weighed(batch):
            return self._whole(x)

    def _whole(self, x: Tensor) -> Tensor:
        return self.inside(x.clone() if self.spoils else x)  # type: ignore[no-any-return]

    def weighed(self, batch: int) -> AbstractContextManager[None]:
        """While it lasts, running statistics of the unit weigh by the share of `batch` samples that do not skip: of all
        that a norm sees at once, so that they stay the same in every process.
        """
        if not self._norms:
            return nullcontext()
        part = _part(batch)
        share = share_of(part, skipped(self.ratio, part.batch)).weight
        if share == 1.0:
            return nullcontext()
        return (_weighed if self.inside._compiled_call_impl is None else _weighed_after)(self._norms, share)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, ...) the unit's input; returns the unit's output shape."""
        p = self.ratio
        if p <= 0.0:
            return self.around(x)
        if p >= 1.0:
            return self.inside(x)  # type: ignore[no-any-return]
        if self.mix.mode == "prefix":
            return self._prefix_samples(x) if self.splits(x.shape[0]) else self._prefix_channels(x, p)
        return self.mix(self._whole(x), self.around(x))  # type: ignore[no-any-return]

    def _prefix_samples(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        k = self.skip(batch)
        if k == batch:
            return self.around(x)
        if k == 0:
            return self.through(x, batch)
        skipping, entering = x.split_with_sizes([k, batch - k])
        return torch.cat((self.around(skipping), self.through(entering, batch)))

    def _prefix_channels(self, x: Tensor, p: float) -> Tensor:
        old = self.around(x)
        if self.mix.granularity == "activation":
            return self.mix(self._whole(x), old)  # type: ignore[no-any-return]
        split = by_channels(self.inside, x.ndim)
        if split is not None:
            k = skipped(p, old.shape[1])
            return old if k == old.shape[1] else dropin_prefix(split(x, k), old, k, 1)
        return dropin_blend(self._whole(x), old, p)

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"ratio={self.ratio:.3g}"


class GateChain(nn.Module):
    """Gates one after another, nothing between them: `gates[-1](... gates[0](x))`.

    While training per sample, the batch is kept in pieces: a sample that skips a gate waits in its piece, and is
    joined with others only when a later gate needs it. Nested prefixes (the staggered schedule from the input)
    need one split per ramping gate and a single final concatenation.
    """

    def __init__(self, gates: Iterable[Gate]) -> None:
        super().__init__()
        self.gates = nn.ModuleList(gates)

    def __iter__(self) -> Iterator[Gate]:
        return iter(self.gates)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, ...) input of the first gate; returns the last gate's output."""
        waiting: list[Tensor] = []  # pieces of the batch, in order, that come before `x`
        count = batch = x.shape[0]
        for gate in self:
            p = gate.ratio
            if p <= 0.0 and gate.bypass is None:
                continue
            if gate.bypass is None and p < 1.0 and gate.splits(batch):
                k = gate.skip(batch)
                if k < batch:
                    waiting, x, count = _regroup(waiting, x, count, k, batch)
                    x = gate.through(x, batch)
                continue
            if waiting:
                x, count, waiting = _join(waiting, x), batch, []
            x = gate.inside(x) if p >= 1.0 else gate(x)
        return _join(waiting, x)


def _regroup(waiting: list[Tensor], x: Tensor, count: int, k: int, batch: int) -> tuple[list[Tensor], Tensor, int]:
    """Pieces so that exactly the last `batch - k` samples are in `x`; returns (waiting, x, size of x)."""
    begin = batch - count
    if k == begin:
        return waiting, x, count
    if k > begin:
        skipping, entering = x.split_with_sizes([k - begin, batch - k])
        return [*waiting, skipping], entering, batch - k
    pieces = [x]
    waiting = list(waiting)
    while begin > k:
        piece = waiting.pop()
        size = piece.shape[0]
        if begin - size < k:
            stay, piece = piece.split_with_sizes([k - (begin - size), begin - k])
            waiting.append(stay)
            size = begin - k
        pieces.append(piece)
        begin -= size
    return waiting, torch.cat(pieces[::-1]), batch - k


def _join(waiting: list[Tensor], x: Tensor) -> Tensor:
    return torch.cat((*waiting, x)) if waiting else x


def _part(batch: int) -> Part:
    """The part that `batch` samples are; a part of its own where they are whole."""
    return part_of(batch) or Part(0, 1, batch, 1)


@contextmanager
def _weighed(norms: list[nn.modules.batchnorm._BatchNorm], share: float) -> Iterator[None]:
    momenta = [norm.momentum for norm in norms]
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = None if momentum is None else momentum * share
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def _weighed_after(norms: list[nn.modules.batchnorm._BatchNorm], share: float) -> Iterator[None]:
    """The same, on the statistics themselves: a compiled unit would be compiled again for every momentum."""
    tracked = [norm for norm in norms if norm.momentum is not None and norm.running_mean is not None and norm.training]
    statistics = [b for norm in tracked for b in (norm.running_mean, norm.running_var) if b is not None]
    before = [buffer.clone() for buffer in statistics]
    yield
    for buffer, old in zip(statistics, before, strict=True):
        buffer.data.copy_(torch.lerp(old, buffer, share))  # autograd saved the buffer, though it reads batch statistics
