"""Examples with labels, the data set they come in, and the split a probe works on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and targets, row by row.

    x: (N, ...) float32, images as (N, C, H, W), token ids as (N, L) int64. y: (N,) int64, class indices, or (N,) or
    (N, K) float32.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: Tensor) -> "Examples":
        """Return a copy of the rows at `indices`, (M,) int64, in that order."""
        return Examples(self.x[indices], self.y[indices])


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A whole data set in memory, before it is split and normalised.

    name: as typed. train: everything that is not test, nor valid where the source brings its own; pixels lie
    in 0..1. classes: their names, index by index; () for floating-point targets. colour: images of three channels.
    source: where it came from, for people. fingerprint: SHA-256 over the contents.
    """

    name: str
    train: Examples
    valid: Examples | None
    test: Examples | None
    classes: tuple[str, ...]
    colour: bool
    source: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Training, validation and test examples, normalised by the training part's mean and std.

    mean, std: one number per channel (images, sequences) or per feature (flat data); none for token ids. valid_id:
    equal strings mean the same validation examples in the same order.
    """

    train: Examples
    valid: Examples
    test: Examples
    mean: tuple[float, ...]
    std: tuple[float, ...]
    valid_id: str


def hash_examples(parts: Sequence[Examples | None]) -> str:
    """Hash (SHA-256) the shapes and bytes of the parts, in order; a missing part counts as missing."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"missing" if part is None else f"{tuple(part.x.shape)}".encode())
        for tensor in () if part is None else (part.x, part.y):
            digest.update(_view_bytes(tensor))
    return digest.hexdigest()


def hash_indices(name: str, indices: Tensor) -> str:
    """Hash (SHA-256) a name and a row of indices, (N,) int64, order included."""
    digest = hashlib.sha256(name.encode())
    digest.update(_view_bytes(indices.to(torch.int64)))
    return digest.hexdigest()


def _view_bytes(tensor: Tensor) -> memoryview:
    return tensor.contiguous().numpy().data.cast("B")
