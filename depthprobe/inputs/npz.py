"""Data sets in one `.npz` file."""

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from depthprobe.errors import DataError
from depthprobe.inputs.arrays import check_memory, make_examples
from depthprobe.inputs.examples import Examples

PARTS = ("train", "valid", "test")
# What zipfile, zlib and numpy's header parser raise on damaged bytes (RuntimeError: an encrypted file).
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path) -> dict[str, Examples]:
    """Read x, y, or x_train, y_train and so on for valid and test, as {"train": ..., "test": ...}.

    Shapes and types are read from the headers first: nothing is unpickled, and nothing is unpacked that
    does not fit in memory. Raises DataError for a damaged file, missing keys, and everything
    `make_examples` refuses.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            keys = _find_keys(names, path)
            for key in (key for pair in keys.values() for key in pair):
                _check_header(archive, key, path)
        with np.load(path, allow_pickle=False) as stored:
            pairs = {part: (_read(stored, x), _read(stored, y)) for part, (x, y) in keys.items()}
    except _DAMAGE as problem:
        raise DataError(
            "damaged .npz file",
            where=str(path),
            expected="a file written by numpy.savez",
            found=f"{type(problem).__name__}: {problem}",
            hint="copy the file anew from where it is whole, or save it again",
        ) from problem
    return {part: make_examples(x, y, f"{path} ({part})") for part, (x, y) in pairs.items()}


def _find_keys(names: set[str], path: Path) -> dict[str, tuple[str, str]]:
    keys = {part: (f"x_{part}", f"y_{part}") for part in PARTS if {f"x_{part}", f"y_{part}"} & names}
    if not keys and {"x", "y"} & names:
        keys = {"train": ("x", "y")}
    missing = [key for pair in keys.values() for key in pair if key not in names]
    if "train" not in keys or missing:
        raise DataError(
            f"missing in .npz file: {', '.join(missing) or 'x_train, y_train'}",
            where=str(path),
            expected="x, y or x_train, y_train (and x_valid, y_valid, x_test, y_test)",
            found=", ".join(sorted(names)) or "an empty file",
        )
    return keys


def _check_header(archive: zipfile.ZipFile, key: str, path: Path) -> None:
    """Raise DataError when the array is pickled, or too large to load."""
    with archive.open(f"{key}.npy") as member:
        version = npy.read_magic(member)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(member)
    if dtype.hasobject:
        raise DataError(
            f"{key} is pickled: loading it would run code",
            where=str(path),
            expected="an array of numbers",
            found=str(dtype),
            hint=f"save {key}.astype('float32') for x, .astype('int64') for y",
        )
    check_memory(shape, f"{path}: {key}")


def _read(stored: "np.lib.npyio.NpzFile", key: str) -> NDArray[np.generic]:
    array: NDArray[np.generic] = stored[key]
    return array
