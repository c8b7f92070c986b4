"""Seeded subsets and splits, stratified for classes, and the normalisation that goes with a split."""

import math

import numpy as np
import torch
from torch import Tensor

from depthprobe.counting import number_of
from depthprobe.errors import DataError
from depthprobe.inputs.examples import Dataset, Examples, Split, hash_indices
from depthprobe.inputs.scaling import measure_scale, scale_examples

LARGEST_VALID = 5_000
SMALL = 10_000


def is_small(data: Dataset) -> bool:
    """Whether validation data are scarce (fewer than 10,000 training examples): one fold for each seed."""
    return len(data.train) < SMALL


def split_dataset(
    data: Dataset,
    *,
    split_seed: int,
    fold: int = 0,
    folds: int = 1,
    valid_share: float = 0.2,
    test_share: float = 0.2,
) -> Split:
    """Split into training, validation and test examples, decided by `split_seed`: stratified by class, or plainly
    shuffled for floating-point targets.

    test: the source's own, else the first `test_share` of the training examples; the same for every fold.
    valid: the source's own (for every fold), else part number `fold` of the rest. Folds are disjoint,
    each of `valid_share` of `data.train` and at most 5,000 examples. Where fewer than `folds` of them
    fit, they are used in turn: fold k is then fold k modulo the number that fits. Raises DataError for a
    class of too few examples and for shares that leave nothing to train on.
    """
    _check_shares(valid_share, test_share, fold, folds)
    parts = 1 + (data.valid is None) + (data.test is None)
    order = order_stratified(data.train.y, split_seed, least=parts)
    whole = len(order)
    tested = 0 if data.test is not None else math.ceil(test_share * whole)
    size = 0 if data.valid is not None else min(LARGEST_VALID, math.ceil(valid_share * whole))
    rest = order[tested:]
    fit = min(folds, (len(rest) - 1) // size) if size else 1
    if fit < 1 or len(rest) == 0:
        raise DataError(
            f"too few examples to split: {whole}",
            where=data.name,
            expected=f"more than {tested} for test and {size} for validation",
        )
    start = (fold % fit) * size
    chosen = rest[start : start + size].sort().values
    kept = torch.cat([rest[:start], rest[start + size :]]).sort().values
    train = data.train.take(kept)
    valid = data.train.take(chosen) if data.valid is None else data.valid
    test = data.train.take(order[:tested].sort().values) if data.test is None else data.test
    _check_complete(train, data)
    mean, std = measure_scale(train.x)
    if not train.x.is_floating_point():  # token ids: nothing to normalise
        mean, std = mean[:0], std[:0]
    else:
        train, valid, test = (scale_examples(part, mean, std) for part in (train, valid, test))
    return Split(
        train=train,
        valid=valid,
        test=test,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        valid_id=hash_indices(data.fingerprint + (" own" if data.valid is not None else ""), chosen),
    )


def order_stratified(y: Tensor, seed: int, *, least: int = 1) -> Tensor:
    """Order all rows so that every stretch of the order holds the classes in about their proportions.

    y: (N,) int64. Returns (N,) int64 row numbers. The first K rows are one of each of the K classes. Floating-point
    targets, (N,) or (N, K), have no classes: the order is a plain shuffle.
    least: how many examples each class must have. Raises DataError for a class of fewer, and for a
    negative seed.
    """
    if seed < 0:
        raise DataError("a split seed cannot be negative", where="--split-seed", found=str(seed))
    generator = np.random.default_rng(seed)
    if y.is_floating_point():
        return torch.from_numpy(generator.permutation(len(y)))
    labels = y.numpy()
    place = np.empty(len(labels))
    tie = generator.permutation(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < least:
            raise DataError(
                f"class {label} has too few examples to split",
                expected=f"at least {least}: one for each of the parts that are cut from the training data",
                found=str(len(rows)),
            )
        place[rows] = generator.permutation(len(rows)) / len(rows)
    return torch.from_numpy(np.lexsort((tie, place)))


def limit_examples(part: Examples, limit: int, seed: int, classes: int) -> Examples:
    """Return a stratified subset of at most `limit` rows, in their old order.

    Every class keeps at least one example. Raises DataError when `limit` is below the number of classes.
    """
    if limit < max(1, classes):
        raise DataError(
            f"a limit of {number_of(limit, 'training example')} cannot hold every class",
            expected=f"at least {max(1, classes)}",
        )
    return part if limit >= len(part) else part.take(order_stratified(part.y, seed)[:limit].sort().values)


def _check_shares(valid_share: float, test_share: float, fold: int, folds: int) -> None:
    if not (0 < valid_share < 1 and 0 < test_share < 1 and valid_share + test_share < 1):
        raise DataError(
            "shares leave nothing to train on",
            expected="valid and test shares above 0, together below 1",
            found=f"valid {valid_share}, test {test_share}",
        )
    if folds < 1 or fold < 0:
        raise DataError("folds are counted from 0", expected="fold >= 0, folds >= 1", found=f"{fold} of {folds}")


def _check_complete(train: Examples, data: Dataset) -> None:
    if train.y.is_floating_point():
        return
    present = torch.bincount(train.y, minlength=len(data.classes))
    if int((present == 0).sum()):
        name = data.classes[int((present == 0).nonzero()[0])]
        raise DataError(
            f"too few examples: none of class {name} is left to train on",
            where=data.name,
            found=f"{len(train)}",
        )
