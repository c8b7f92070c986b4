"""Files written whole or not at all: beside their place, synced, renamed into it, and the folder synced."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import torch

from depthprobe.inputs.weights import load_plain

PARTIAL = ".partial"


def write_text(target: Path, text: str) -> None:
    """A text file (UTF-8), atomically. Raises OSError; what was there before is there still."""
    with replacing(target) as file:
        file.write(text.encode("utf-8"))


def write_torch(target: Path, payload: dict[str, Any]) -> str:
    """torch.save, atomically; returns the SHA-256 of what was written, in hex. Raises OSError as `write_text` does."""
    with replacing(target) as file:
        sink = _Hashed(file)
        try:
            torch.save(payload, cast("IO[bytes]", sink))
        except RuntimeError as error:  # torch's writer hides what the file said
            raise sink.problem or error from error
    return sink.digest.hexdigest()


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file to write into, which takes the place of `target` when the block ends; nothing is left when that fails."""
    temporary = target.with_name(f".{target.name}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """fsync of a folder: renames in it are on disk afterwards. Windows has no such thing."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_torch(content: bytes) -> dict[str, Any]:
    """What `write_torch` wrote: tensors and plain values; nothing in it is executed.

    Raises ValueError for damaged content.
    """
    try:
        return dict(load_plain(content))
    except Exception as error:  # zipfile, zlib and torch raise a dozen kinds for damaged bytes
        raise ValueError(str(error) or type(error).__name__) from error


class _Hashed:
    """A file for torch.save: what passes is hashed, and the error of a failed write is kept."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.problem: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write and hash."""
        try:
            written = self.file.write(data)
        except OSError as error:
            self.problem = error
            raise
        self.digest.update(data)
        return written

    def flush(self) -> None:
        """Flush."""
        self.file.flush()
