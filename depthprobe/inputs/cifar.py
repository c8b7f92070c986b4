"""The binary format of CIFAR-10 and CIFAR-100, unpacked or in its archive."""

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depthprobe.errors import DataError
from depthprobe.inputs.arrays import make_examples
from depthprobe.inputs.examples import Examples

_PIXELS = 3 * 32 * 32
_LARGEST = 50_000 * (2 + _PIXELS)  # bytes of the largest file: the training part of CIFAR-100


@dataclass(frozen=True, kw_only=True)
class CifarLayout:
    """Names in one CIFAR archive. label_bytes: how many precede the pixels; the last is the fine label."""

    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    label_bytes: int
    classes: int


CIFAR10 = CifarLayout(
    folder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    train=tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
    test=("test_batch.bin",),
    names="batches.meta.txt",
    label_bytes=1,
    classes=10,
)
CIFAR100 = CifarLayout(
    folder="cifar-100-binary",
    archive="cifar-100-binary.tar.gz",
    train=("train.bin",),
    test=("test.bin",),
    names="fine_label_names.txt",
    label_bytes=2,
    classes=100,
)


def read_cifar(path: Path, layout: CifarLayout) -> tuple[Examples, Examples, tuple[str, ...]]:
    """Read (train, test, class names) from the unpacked folder or the .tar.gz at `path`.

    x: (N, 3, 32, 32) in 0..1. Archives are read in memory: nothing is unpacked to disk, and links in them are not
    followed. Raises DataError for a missing, damaged or oversized file. Without a file of names, classes are called by
    number.
    """
    wanted = {*layout.train, *layout.test, layout.names}
    files = _read_folder(path, wanted) if path.is_dir() else _read_archive(path, wanted)
    missing = sorted(wanted - {layout.names} - set(files))
    if missing:
        raise DataError(
            f"missing file: {', '.join(missing)}",
            where=str(path),
            found=", ".join(sorted(files)) or "nothing",
        )
    train = _read_batches([(name, files[name]) for name in layout.train], path, layout)
    test = _read_batches([(name, files[name]) for name in layout.test], path, layout)
    names = tuple(files.get(layout.names, b"").decode("utf-8", "replace").split())
    return train, test, names if len(names) == layout.classes else tuple(map(str, range(layout.classes)))


def _read_folder(folder: Path, wanted: set[str]) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in wanted if (folder / name).is_file()}
    except OSError as problem:
        raise DataError("cannot read the folder", where=str(folder), found=str(problem)) from problem


def _read_archive(path: Path, wanted: set[str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                stream = archive.extractfile(member) if member.isfile() and name in wanted else None
                if stream is not None:
                    _check_size(member.size, name, path)
                    files[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        raise DataError(
            f"damaged archive: {path.name}",
            where=str(path),
            expected="a complete .tar.gz file",
            found=f"{type(problem).__name__}: {problem}",
        ) from problem
    return files


def _check_size(size: int, name: str, path: Path) -> None:
    if size > _LARGEST:
        raise DataError(
            f"oversized file in the archive: {name}",
            where=str(path),
            expected=f"at most {_LARGEST} bytes",
            found=f"{size} bytes",
            hint="the official archive",
        )


def _read_batches(batches: list[tuple[str, bytes]], path: Path, layout: CifarLayout) -> Examples:
    record = layout.label_bytes + _PIXELS
    for name, content in batches:
        if not content or len(content) % record:
            raise DataError(
                f"truncated or damaged file: {name}",
                where=str(path / name),
                expected=f"a multiple of {record} bytes",
                found=f"{len(content)} bytes",
            )
    rows = np.concatenate([np.frombuffer(content, np.uint8).reshape(-1, record) for _, content in batches])
    x = rows[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
    return make_examples(x, rows[:, layout.label_bytes - 1], str(path))
