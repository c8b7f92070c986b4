"""A metric that is one number for many examples, made comparable: the delete-one-block jackknife."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthprobe.errors import DataError

MOST_BLOCKS = 100
BLOCK = 5  # at least so many examples, as long as there are


def blocks(examples: int) -> Tensor:
    """(N,) int64 number of the block of every example: min(100, N // 5) blocks, decided by N alone.

    Raises DataError for fewer than ten examples.
    """
    count = min(MOST_BLOCKS, examples // BLOCK)
    if count < 2:
        raise DataError("too few validation examples for this metric", expected="at least 10", found=str(examples))
    order = torch.randperm(examples, generator=torch.Generator().manual_seed(0))
    return torch.empty(examples, dtype=torch.int64).scatter_(0, order, torch.arange(examples) % count)


def pseudo_values(
    metric: Callable[[Tensor, Tensor], float], output: Tensor, target: Tensor
) -> tuple[float, np.ndarray[Any, np.dtype[np.float64]]]:
    """The metric on all examples, and one pseudo-value per block: (B,) of that mean.

    B T - (B - 1) T(without block b) (Tukey 1958; Efron and Tibshirani 1993, chapter 11), moved together so that their
    mean is the metric T itself and not its bias-corrected version. The variance of their mean is the jackknife's.
    """
    whole, block = metric(output, target), blocks(len(target))
    count = int(block.max()) + 1
    without = np.array([metric(output[block != b], target[block != b]) for b in range(count)])
    return whole, whole + (count - 1) * (without.mean() - without)
