"""Batches as a pure function of seed and step: nothing to save, nothing to restore."""

from collections.abc import Callable

import torch
from torch import Tensor

from depthprobe.errors import UserCodeError
from depthprobe.inputs import Examples
from depthprobe.inputs.augment import flip_and_crop
from depthprobe.inputs.isolation import seeded
from depthprobe.layers.part import Part

Augment = Callable[[Tensor], Tensor]


class Batches:
    """Shuffled batches of `examples`: epoch e is permuted by (seed, e), `at(step)` is always the same batch.

    The last, smaller batch of an epoch is dropped; a set smaller than one batch is a batch. augment: flip and crop, or
    a function of the user's, (B, ...) -> (B, ...); it draws from torch's, numpy's and Python's generators, which are
    seeded by `mix_seed(seed, step, 1)` for it and put back.
    """

    def __init__(
        self, examples: Examples, batch_size: int, seed: int, augment: bool | Augment, device: torch.device
    ) -> None:
        self.x, self.y = examples.x.to(device), examples.y.to(device)
        self.size = min(batch_size, len(self.y))
        self.per_epoch = max(1, len(self.y) // self.size)
        self.seed, self.augment, self.device = seed, augment, device
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, step: int, *, part: Part | None = None) -> tuple[Tensor, Tensor]:
        """Batch of step `step`: x (B, ...) float32, y int64 or float32 as in `Examples`, on the device; `part` leaves
        all samples but its own out. What augmentation draws belongs to the whole batch.
        """
        index = self.index(step)
        mine = index if part is None else index[part.select]
        if not self.augment:
            return self.x[mine], self.y[mine]
        x = self._augmented(self.x[index], mix_seed(self.seed, step, 1))
        return x if part is None else x[part.select], self.y[mine]

    def _augmented(self, x: Tensor, seed: int) -> Tensor:
        if callable(self.augment):
            return self._apply(self.augment, x, seed)
        return flip_and_crop(x, torch.Generator().manual_seed(seed))

    def index(self, step: int) -> Tensor:
        """Which examples step `step` takes, (B,) int64 on the device."""
        epoch, rank = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
            self._order = torch.randperm(len(self.y), generator=generator).to(self.device)
            self._epoch = epoch
        return self._order[rank * self.size : (rank + 1) * self.size]

    def _apply(self, augment: Augment, x: Tensor, seed: int) -> Tensor:
        with seeded(seed):
            found = augment(x)
        if not isinstance(found, Tensor) or len(found) != len(x):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UserCodeError(
                "augment does not give a batch of the same size", expected=str(tuple(x.shape)), found=str(shape)
            )
        if found.dtype != x.dtype:
            raise UserCodeError(
                "augment changes the type of its numbers", expected=str(x.dtype), found=str(found.dtype)
            )
        return found


def mix_seed(*parts: int) -> int:
    """One 63-bit seed out of several numbers, the same on every machine."""
    value = 0x9E3779B97F4A7C15
    for part in parts:
        value = (value ^ (part + 0x7F4A7C15)) * 0xBF58476D1CE4E5B9 % 2**64
        value ^= value >> 29
    return value % 2**63
