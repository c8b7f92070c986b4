"""Checkpoints: a file of tensors, then a manifest with its SHA-256 that seals it; two are kept."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthprobe.training.writing import read_torch, write_text, write_torch

KEEP = 2


def save_checkpoint(folder: Path, payload: dict[str, Any], seal: Mapping[str, Any]) -> None:
    """Write `payload` as the next `<number>.pt`, then `<number>.json`: without it the checkpoint does not exist.

    payload: tensors and plain values only; seal: what else the manifest says, JSON. Older ones beyond two are removed.
    Raises OSError.
    """
    folder.mkdir(exist_ok=True)
    number = max(_numbers(folder, ".pt") + _numbers(folder, ".json"), default=-1) + 1
    digest = write_torch(folder / f"{number:08d}.pt", payload)
    write_text(folder / f"{number:08d}.json", json.dumps({**seal, "sha256": digest}, indent=1) + "\n")
    oldest = checkpoints(folder)[:KEEP][-1]
    for old in {*_numbers(folder, ".pt"), *_numbers(folder, ".json")}:
        if old < oldest:
            _remove(folder, old)


def read_checkpoint(folder: Path, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The payload and the seal of a checkpoint. Raises ValueError, saying what is wrong, when a byte of it is."""
    seal, content = read_seal(folder, number), _content(folder, number)
    if hashlib.sha256(content).hexdigest() != seal.get("sha256"):
        raise ValueError("its bytes are not those that were written")
    return read_torch(content), seal


def read_seal(folder: Path, number: int) -> dict[str, Any]:
    """What the manifest of a checkpoint says. Raises ValueError when it is damaged."""
    try:
        return dict(json.loads((folder / f"{number:08d}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError("its manifest is damaged") from error


def read_unsealed(folder: Path, number: int) -> dict[str, Any]:
    """The payload of a checkpoint of the first format, which had no manifest. Raises ValueError as above."""
    return read_torch(_content(folder, number))


def checkpoints(folder: Path, *, sealed: bool = True) -> list[int]:
    """Numbers of the checkpoints, the newest first: those with a manifest, or those without."""
    manifests = _numbers(folder, ".json")
    numbers = manifests if sealed else [n for n in _numbers(folder, ".pt") if n not in manifests]
    return sorted(numbers, reverse=True)


def remove_after(folder: Path, number: int) -> None:
    """Remove the checkpoints newer than `number`: damaged ones, and tensors that were never sealed."""
    for newer in {*_numbers(folder, ".pt"), *_numbers(folder, ".json")}:
        if newer > number:
            _remove(folder, newer)


def _content(folder: Path, number: int) -> bytes:
    try:
        return (folder / f"{number:08d}.pt").read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def _numbers(folder: Path, suffix: str) -> list[int]:
    return [int(path.stem) for path in folder.glob(f"*{suffix}") if path.stem.isdecimal()]


def _remove(folder: Path, number: int) -> None:
    """The manifest first: what is left of a half-removed checkpoint is none."""
    for suffix in (".json", ".pt"):
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{number:08d}{suffix}").unlink()
