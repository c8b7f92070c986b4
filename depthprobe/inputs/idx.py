"""The IDX format of MNIST and Fashion-MNIST (four gzipped files)."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthprobe.errors import DataError
from depthprobe.inputs.arrays import check_memory, make_examples
from depthprobe.inputs.examples import Examples

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def read_idx_pair(images: Path, labels: Path) -> Examples:
    """Read an image file and its label file: x (N, 1, H, W) in 0..1. Raises DataError for damaged files."""
    x, y = read_idx(images, dimensions=3), read_idx(labels, dimensions=1)
    return make_examples(x, y, str(images))


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Read one gzipped IDX file of bytes.

    The header is two zero bytes, the type (8: unsigned byte), the number of dimensions and one big-endian
    32-bit extent for each. Raises DataError when it says anything else, or when the contents are shorter or
    longer than it says.
    """
    try:
        with gzip.open(path) as stream:
            head = stream.read(4 + 4 * dimensions)
            shape = _read_shape(head, dimensions, path)
            check_memory(shape, str(path))
            size = int(np.prod(shape, dtype=np.int64))
            body = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(
            f"damaged file: {path.name}", where=str(path), expected="a complete .gz file", found=str(problem)
        ) from problem
    if len(body) != size:
        raise DataError(
            f"truncated or overlong file: {path.name}",
            where=str(path),
            expected=f"{size} bytes for shape {shape}",
            found=f"{len(body)} bytes" if len(body) < size else "more",
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read_shape(head: bytes, dimensions: int, path: Path) -> tuple[int, ...]:
    magic = bytes([0, 0, 8, dimensions])
    if len(head) != 4 + 4 * dimensions or head[:4] != magic:
        raise DataError(
            f"not an IDX file of {dimensions} dimension(s): {path.name}",
            where=str(path),
            expected=f"magic number {magic.hex()}",
            found=head[:4].hex() or "an empty file",
        )
    return struct.unpack(f">{dimensions}I", head[4:])
