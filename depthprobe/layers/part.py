"""Part: which samples of an update's batch are computed here, when several parts make up the batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Part:
    """Samples `index`, `index + of`, `index + 2 * of`, ... of a batch of `batch`.

    Parts interleave, so that every part has its share of the samples that skip a gate, and they are its first ones:
    a prefix of the whole batch is a prefix of every part. apart: how many statistics a norm takes of the batch: one per
    part, or fewer where it sees several parts at once (SyncBatchNorm).
    """

    index: int
    of: int
    batch: int
    apart: int

    def first(self, count: int) -> int:
        """How many of the first `count` samples of the batch are in this part."""
        return max(0, (count - self.index + self.of - 1) // self.of)

    @property
    def size(self) -> int:
        """Samples in this part."""
        return self.first(self.batch)

    @property
    def select(self) -> slice:
        """What picks this part out of the batch."""
        return slice(self.index, None, self.of)

    @property
    def beside(self) -> int:
        """How many parts a norm sees at once."""
        return self.of // self.apart

    def other(self, index: int) -> "Part":
        """Another part of the same batch."""
        return replace(self, index=index)


_taken: list[Part] = []


@contextmanager
def taking(part: Part | None) -> Iterator[None]:
    """While it lasts, gates count samples as those of `part`; None: of the batch that they see.

    Of the process, not of the thread: a backward pass that computes activations anew does so in a thread of its own.
    """
    before = _taken[:]
    _taken[:] = [part] if part is not None else []
    try:
        yield
    finally:
        _taken[:] = before


def part_of(samples: int) -> Part | None:
    """The part that is being computed, if `samples` is its size; None where a batch is whole."""
    return _taken[0] if _taken and _taken[0].size == samples else None
