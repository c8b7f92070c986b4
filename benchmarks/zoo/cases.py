"""A model to try: how to build it, and what to feed it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

SOURCES = ("torchvision", "timm", "hf")


@dataclass(frozen=True)
class Case:
    """One model, not built yet.

    source: torchvision | timm | hf. name: as its package calls it. group: the table's rows are counted by it.
    build: a fresh network, random weights. inputs: batch -> example inputs (tensor, tuple or dict). train_batch: the
    batch of the backward check where the default is too costly or too small. shared: its layers share their weights,
    so that refusing to grow them is the right answer. excluded: why it is not tried at all.
    """

    source: str
    name: str
    group: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Any]
    train_batch: int | None = None
    shared: bool = False
    excluded: str | None = None

    @property
    def key(self) -> str:
        return f"{self.source}:{self.name}"


def picture(*sizes: int) -> Callable[[int], torch.Tensor]:
    """Random images (or clips) of one size, the same for every call: batch -> (batch, *sizes)."""

    def make(batch: int) -> torch.Tensor:
        return torch.randn(batch, *sizes, generator=torch.Generator().manual_seed(batch))

    return make


def nothing(batch: int) -> Any:
    raise RuntimeError("an excluded model is not run")


def rank(seed: int, name: str) -> str:
    """A place in a shuffle that stays the same when other names come or go."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
