"""Arrays as examples: shapes, types, labels and values are checked once, here."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from depthprobe.counting import number_of
from depthprobe.errors import DataError
from depthprobe.inputs.examples import Examples

MEMORY_LIMIT = 8 * 2**30  # bytes of float32
_CHANNELS = (1, 3)


def make_examples(x: object, y: object, where: str) -> Examples:
    """Make examples of two arrays or tensors: x (N, ...) numbers, y (N,) integers: class indices; y (N,) or (N, K)
    floats: targets of a regression or of several labels, kept as they are (the type decides, not the values).

    Bytes (uint8) of three or more dimensions are images: scaled to 0..1, (N, H, W) gets a channel, and a
    last axis of 1 or 3 channels moves forward. Other numbers keep value and shape. Raises DataError, naming
    `where`.
    """
    inputs, labels = _as_array(x, f"{where}: x"), _as_array(y, f"{where}: y")
    if inputs.ndim == 0 or len(inputs) == 0:
        raise DataError(f"{where} has no examples", found=f"x of shape {inputs.shape}")
    if inputs.ndim == 1:
        raise DataError(
            "x needs at least two dimensions",
            where=where,
            expected="(N, features) or (N, C, H, W)",
            found=str(inputs.shape),
            hint="x.reshape(-1, 1)",
        )
    target = check_targets(labels, where) if labels.dtype.kind == "f" else check_labels(labels, where)
    if len(inputs) != len(target):
        raise DataError(
            "x and y differ in length", where=where, expected=number_of(len(inputs), "label"), found=str(len(target))
        )
    if inputs.size == 0:
        raise DataError("x holds examples of no values", where=where, found=str(inputs.shape))
    check_memory(inputs.shape, where)
    return Examples(torch.from_numpy(_as_floats(inputs, where)), torch.from_numpy(target))


def check_targets(targets: NDArray[np.generic], where: str) -> NDArray[np.float32]:
    """Return floating-point targets as (N,) or (N, K) float32; DataError for other shapes and non-finite values."""
    if targets.ndim not in (1, 2) or targets.size == 0:
        raise DataError("targets of another shape", where=where, expected="(N,) or (N, K)", found=str(targets.shape))
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is reported below
        floats = np.array(targets, dtype=np.float32)
    if not np.isfinite(floats).all():
        row = int(np.flatnonzero(~np.isfinite(floats.reshape(len(floats), -1)).all(axis=1))[0])
        raise DataError(
            "y holds NaN or infinite values",
            where=where,
            expected="finite targets, or class indices as integers",
            found=f"{targets[row]} at row {row}",
        )
    return floats


def check_labels(labels: NDArray[np.generic], where: str) -> NDArray[np.int64]:
    """Return integer labels as (N,) int64; DataError for other shapes and negative numbers."""
    if labels.ndim != 1:
        hint = None
        if labels.ndim == 2:
            hint = "y.argmax(1) for one-hot rows, y.ravel() for a column, y.astype('float32') for several labels each"
        raise DataError("labels are not one row", where=where, expected="(N,)", found=str(labels.shape), hint=hint)
    target = labels.astype(np.int64)
    if (target < 0).any():
        first = int(np.flatnonzero(target < 0)[0])
        raise DataError("labels are negative", where=where, expected="0..K-1", found=f"{target[first]} at row {first}")
    return target


def check_classes(parts: Sequence[tuple[str, Examples | None]], classes: int, where: str) -> None:
    """Raise DataError for fewer than two classes, labels out of range, and classes absent from training.

    parts: (part's name, examples), training first. classes: how many there are. Nothing is checked of floating-point
    targets but that all parts have such, of one shape.
    """
    kinds = {name: (part.y.is_floating_point(), tuple(part.y.shape[1:])) for name, part in parts if part is not None}
    for name, kind in kinds.items():
        if kind != kinds[parts[0][0]]:
            said = [f"{'floats' if k[0] else 'integers'} of shape {('N', *k[1])}" for k in (kinds[parts[0][0]], kind)]
            raise DataError(f"the targets of {name} are of another kind", where=where, expected=said[0], found=said[1])
    if kinds[parts[0][0]][0]:
        return
    for name, part in parts:
        if part is not None and int(part.y.max()) >= classes:
            row = int((part.y >= classes).nonzero()[0])
            raise DataError(
                f"label out of range in {name}",
                where=where,
                expected=f"0..{classes - 1}",
                found=f"{int(part.y[row])} at row {row}",
            )
    train = parts[0][1]
    present = torch.unique(train.y) if train is not None else torch.zeros(0)
    if classes < 2 or len(present) < 2:
        raise DataError(
            "fewer than two classes: nothing to tell apart", where=where, found=number_of(classes, "class", "classes")
        )
    if len(present) < classes:
        absent = next(k for k in range(classes) if k >= len(present) or int(present[k]) != k)
        raise DataError(
            f"no training example of class {absent}",
            where=where,
            expected=f"every label of 0..{classes - 1}",
            hint="number the classes 0, 1, 2, ... without gaps",
        )


def check_memory(shape: Sequence[int], where: str) -> None:
    """Raise DataError when an array of this shape needs more than 8 GiB as float32."""
    size = 4
    for extent in shape:
        size *= int(extent)
    if size > MEMORY_LIMIT:
        raise DataError(
            f"the data set does not fit: {size / 2**30:.1f} GiB as float32",
            where=where,
            expected=f"at most {MEMORY_LIMIT / 2**30:.0f} GiB",
            found=f"shape {tuple(shape)}",
            hint="fewer or smaller examples (--image-size for images)",
        )


def _as_array(values: object, where: str) -> NDArray[np.generic]:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.dtype.kind not in "buif":
        raise DataError(f"{where} holds no numbers", expected="integers or floats", found=str(array.dtype))
    return array


def _as_floats(inputs: NDArray[np.generic], where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is reported below
        floats = np.array(inputs, dtype=np.float32)
    if inputs.dtype == np.uint8 and inputs.ndim >= 3:
        floats /= 255.0
        if floats.ndim == 3:
            floats = floats[:, None]
        elif floats.ndim == 4 and floats.shape[1] not in _CHANNELS and floats.shape[3] in _CHANNELS:
            floats = np.ascontiguousarray(floats.transpose(0, 3, 1, 2))
    if inputs.dtype.kind == "f" and not np.isfinite(floats).all():
        rows = np.flatnonzero(~np.isfinite(floats.reshape(len(floats), -1)).all(axis=1))
        raise DataError(
            "x holds NaN or infinite values",
            where=where,
            found=f"{len(rows)} example(s), the first at row {rows[0]}",
        )
    return floats
