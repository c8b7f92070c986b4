"""Counter-based draws of the Bernoulli mix: Philox4x64-10, the same bits on every device, in every layout.

Draw `i` of call `offset` under `seed` is the 16-bit word `i % 16` of the Philox block with counter
(i // 16 + 1, offset, 0, 0) and key (seed, 0): NumPy's own stream, whose counter is incremented before a block.
`csrc/philox.h` draws the same words.
A 16-bit word compared with an integer threshold resolves a ratio to 1/65536; the ends 0 and 1 draw nothing.
"""

import threading
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

WORDS = 1 << 16
PER_BLOCK = 16
ENTRIES = {"activation": 0, "sample": 1, "channel": 2}
_MASK64 = (1 << 64) - 1


class _Bits(threading.local):
    """One generator per thread, set anew for every draw: building one costs ten times as much as setting it."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(0)
        self.counter, self.key = np.zeros(4, np.uint64), np.zeros(2, np.uint64)
        self.state = {
            "bit_generator": "Philox",
            "state": {"counter": self.counter, "key": self.key},
            "buffer": np.zeros(4, np.uint64),
            "buffer_pos": 4,
            "has_uint32": 0,
            "uinteger": 0,
        }


_BITS = _Bits()


def threshold_of(ratio: float) -> int:
    """The integer that a 16-bit word must stay below to be `new`: 0 and 65536 at the exact ends only."""
    if ratio <= 0.0:
        return 0
    return WORDS if ratio >= 1.0 else min(WORDS - 1, max(1, round(ratio * WORDS)))


def draw_words(count: int, seed: int, offset: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """`count` words, uint16, of call `offset` under `seed`; both any integers, read modulo 2**64."""
    bits = _BITS
    bits.counter[1], bits.key[0] = offset & _MASK64, seed & _MASK64
    bits.philox.state = bits.state  # type: ignore[assignment]
    lanes = bits.philox.random_raw(4 * -(-count // PER_BLOCK))
    return lanes.astype("<u8", copy=False).view("<u2")[:count]


def mask_shape(shape: Sequence[int], entries: int) -> tuple[int, ...]:
    """`shape` with 1 for every dimension that has no draws of its own."""
    return tuple(shape) if entries == 0 else (*shape[:entries], *(1,) * (len(shape) - entries))


def draw_mask(shape: Sequence[int], seed: int, offset: int, threshold: int, entries: int = 0) -> Tensor:
    """Bool mask on the CPU, true where the new path is taken, broadcastable to `shape`.

    entries: how many leading dimensions have draws of their own (1: samples, 2: channels; 0: every element).
    Draws are counted in row-major order of the shape, whatever the memory format.
    """
    full = mask_shape(shape, entries)
    if not 0 < threshold < WORDS:
        return torch.full(full, threshold > 0)
    words = draw_words(prod(full), seed, offset)
    return torch.from_numpy((words < np.uint16(threshold)).reshape(full))  # reshaping a tensor costs five times more
