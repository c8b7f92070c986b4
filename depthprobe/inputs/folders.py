"""Image folders: `train/<class>/*.png` with optional valid and test beside it, or just `<class>/*.png`."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from depthprobe.errors import DataError
from depthprobe.inputs.arrays import check_memory, make_examples
from depthprobe.inputs.examples import Examples

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")  # whatever a file calls itself: some other readers start programs
_GREY = ("1", "L", "LA")
_COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB")


def read_image_folder(folder: Path, *, image_size: int | None = None) -> tuple[dict[str, Examples], tuple[str, ...]]:
    """Read {"train": ..., "valid": ..., "test": ...} as far as present, and the class names in sorted order.

    x: (N, C, H, W) in 0..1; C is 1 when every image is grey, else 3. image_size: scale and crop all
    images to this square, in pixels; without it they must agree. Raises DataError for a folder without
    classes, an empty class, an unreadable image, images of different sizes, and a class that training
    lacks.
    """
    parts = _list_parts(folder)
    classes = tuple(sorted(child.name for child in _list_folders(parts["train"])))
    files = {part: _list_images(root, classes) for part, root in parts.items()}
    every = [path for listed in files.values() for path, _ in listed]
    channels, size = _survey(every, image_size)
    read = {part: _read_part(parts[part], listed, channels, size) for part, listed in files.items()}
    return read, classes


def _list_parts(folder: Path) -> dict[str, Path]:
    names = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
    found = {part: folder / name for part, known in names.items() for name in known if (folder / name).is_dir()}
    if not found and _list_folders(folder):
        return {"train": folder}
    if "train" not in found or not _list_folders(found["train"]):
        raise DataError(
            "no class folders",
            where=str(folder),
            expected="train/<class>/*.png (valid and test beside train), or <class>/*.png",
            found=", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "an empty folder",
            hint="put the images of each class into a folder of its own, named for the class",
        )
    return found


def _list_folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]


def _list_images(root: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    unknown = sorted({path.name for path in _list_folders(root)} - set(classes))
    if unknown:
        raise DataError(
            f"class {unknown[0]!r} is not in train",
            where=str(root),
            expected=", ".join(classes),
            hint="name the class folders of train, valid and test alike",
        )
    listed: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        inside = sorted((root / name).rglob("*")) if (root / name).is_dir() else []
        images = [path for path in inside if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
        if not images:
            raise DataError(
                f"class {name!r} has no images",
                where=str(root / name),
                expected=f"files {', '.join(SUFFIXES)}",
                hint="add images, or delete the folder",
            )
        listed += [(path, label) for path in images]
    return listed


def _survey(paths: list[Path], image_size: int | None) -> tuple[int, tuple[int, int]]:
    """Return (channels, (width, height)) from the headers alone; pixels are not decoded."""
    channels, common = 1, (image_size, image_size) if image_size else None
    for path in paths:
        with _open(path) as image:
            mode, size = image.mode, image.size
        if mode not in (*_GREY, *_COLOUR):
            raise DataError("unsupported pixel format", where=str(path), expected="8 bits", found=f"mode {mode}")
        channels = 3 if mode in _COLOUR else channels
        common = common or size
        if image_size is None and size != common:
            raise DataError(
                "images of different sizes",
                where=str(path),
                expected="{} x {} as in {}".format(*common, paths[0].name),
                found="{} x {}".format(*size),
                hint=f"--image-size {min(*size, *common)}",
            )
    return channels, common or (0, 0)


def _read_part(root: Path, listed: list[tuple[Path, int]], channels: int, size: tuple[int, int]) -> Examples:
    check_memory((len(listed), channels, size[1], size[0]), str(root))
    pixels = np.empty((len(listed), channels, size[1], size[0]), np.uint8)
    for row, (path, _) in enumerate(listed):
        try:
            with _open(path) as image:
                plain = image.convert("L" if channels == 1 else "RGB")
        except (
            OSError,
            SyntaxError,
            ValueError,
        ) as problem:  # Pillow raises SyntaxError on broken PNG chunks
            raise _unreadable(path, problem) from problem
        fitted = plain if plain.size == size else ImageOps.fit(plain, size, Image.Resampling.BILINEAR)
        pixels[row] = np.asarray(fitted).reshape(size[1], size[0], channels).transpose(2, 0, 1)
    return make_examples(pixels, np.array([label for _, label in listed]), str(root))


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path, formats=FORMATS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as problem:
        raise _unreadable(path, problem) from problem


def _unreadable(path: Path, problem: BaseException) -> DataError:
    hint = "replace or delete the file"
    return DataError(f"unreadable image: {path.name}", where=str(path), found=str(problem), hint=hint)
