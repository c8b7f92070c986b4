"""Checkpoints: written whole or not at all, two kept, the marker last."""

import os
from pathlib import Path
from typing import Any

import torch

from depthprobe.errors import RunFolderError

MARKER = "latest"
KEEP = 2


def save_checkpoint(folder: Path, payload: dict[str, Any]) -> None:
    """Write `payload` as the next `<number>.pt`: temporary file, fsync, rename, fsync of the folder, then the marker.

    payload: tensors and plain values only. Older files beyond two are removed.
    """
    folder.mkdir(exist_ok=True)
    numbers = [int(path.stem) for path in folder.glob("[0-9]*.pt")]
    target = folder / f"{max(numbers, default=-1) + 1:08d}.pt"
    write_torch(target, payload)
    write_text(folder / MARKER, target.name + "\n")
    for old in sorted(folder.glob("[0-9]*.pt"))[:-KEEP]:
        old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """The newest whole checkpoint. Raises RunFolderError when there is none."""
    names = [(folder / MARKER).read_text(encoding="utf-8").strip()] if (folder / MARKER).exists() else []
    names += [path.name for path in sorted(folder.glob("[0-9]*.pt"), reverse=True)]
    for name in names:
        try:
            return dict(torch.load(folder / name, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, EOFError):
            continue
    raise RunFolderError("no readable checkpoint", where=str(folder), hint="start a new run")


def write_torch(target: Path, payload: dict[str, Any]) -> None:
    """torch.save, atomically."""
    temporary = target.with_name(f".{target.name}.partial")
    with temporary.open("wb") as file:
        torch.save(payload, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(target.parent)


def write_text(target: Path, text: str) -> None:
    """A text file, atomically."""
    temporary = target.with_name(f".{target.name}.partial")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """fsync of a folder: renames in it are on disk afterwards."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
