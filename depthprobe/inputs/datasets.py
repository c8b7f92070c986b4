"""Data sets by name, by folder, by file: opened, checked, and held in memory."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch.nn import functional

from depthprobe.counting import number_of
from depthprobe.errors import DataError
from depthprobe.inputs.arrays import check_classes, check_memory, make_examples
from depthprobe.inputs.cifar import CIFAR10, CIFAR100, read_cifar
from depthprobe.inputs.downloads import fetch_files, find_cifar, find_idx_files
from depthprobe.inputs.examples import Dataset, Examples, Split, hash_examples
from depthprobe.inputs.folders import read_image_folder
from depthprobe.inputs.idx import read_idx_pair
from depthprobe.inputs.lookup import KNOWN, find_path, find_program
from depthprobe.inputs.npz import read_npz
from depthprobe.inputs.pyfiles import split_file_spec
from depthprobe.inputs.splits import is_small, limit_examples, split_dataset
from depthprobe.inputs.userdata import read_user_data

__all__ = ["KNOWN", "Dataset", "Examples", "Split", "is_small", "open_dataset", "split_dataset"]

_FASHION = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_CLASSES = {"mnist": tuple("0123456789"), "fashion-mnist": tuple(_FASHION.split(","))}
_Read = tuple[Mapping[str, Examples], tuple[str, ...], str]


def open_dataset(
    spec: str,
    *,
    data_dir: Path | None = None,
    limit_train: int | None = None,
    limit_seed: int = 0,
    image_size: int | None = None,
) -> Dataset:
    """Open a data set and check it.

    spec: a name of `KNOWN`, an image folder, a `.npz` file or `file.py:name`. data_dir: local copies of
    the known ones, also where a relative path is looked for; with it nothing is downloaded. limit_train:
    at most so many training examples, chosen by `limit_seed`, every class kept. image_size: side of the
    square, in pixels, that images are scaled to. Raises DataError for anything that is missing, damaged
    or unfit.
    """
    if image_size is not None and image_size < 1:
        raise DataError("an image needs pixels", where="--image-size", expected="1 or more", found=str(image_size))
    read, classes, source = _read(spec, data_dir, image_size)
    parts = {part: resize_images(examples, image_size, spec) for part, examples in read.items()}
    classes = name_classes(classes, parts["train"], spec)
    check_classes(list(parts.items()), len(classes), spec)
    check_shapes(parts, spec)
    train = parts["train"]
    if limit_train is not None:
        train = limit_examples(train, limit_train, limit_seed, len(classes))
    valid, test = parts.get("valid"), parts.get("test")
    return Dataset(
        name=spec,
        train=train,
        valid=valid,
        test=test,
        classes=classes,
        colour=train.x.ndim == 4 and train.x.shape[1] == 3,
        source=source,
        fingerprint=hash_examples([train, valid, test]),
    )


def resize_images(part: Examples, image_size: int | None, where: str) -> Examples:
    """Scale images to a square of `image_size` pixels; DataError when the examples are not images."""
    if image_size is None:
        return part
    if part.x.ndim != 4:
        raise DataError(
            "not images, cannot be scaled",
            where=where,
            expected="(N, C, H, W)",
            found=str(tuple(part.x.shape)),
        )
    if part.x.shape[2:] == (image_size, image_size):
        return part
    check_memory((*part.x.shape[:2], image_size, image_size), where)
    size = (image_size, image_size)
    scaled = [functional.interpolate(rows, size, mode="bilinear", antialias=True) for rows in torch.split(part.x, 4096)]
    return Examples(torch.cat(scaled), part.y)


def _read(spec: str, data_dir: Path | None, image_size: int | None) -> _Read:
    if spec == "digits":
        return _read_digits()
    if spec in _CLASSES:
        files = fetch_files(spec) if data_dir is None else find_idx_files(spec, data_dir)
        parts = {"train": read_idx_pair(*files[:2]), "test": read_idx_pair(*files[2:])}
        return parts, _CLASSES[spec], str(files[0].parent)
    if spec in ("cifar10", "cifar100"):
        layout = CIFAR10 if spec == "cifar10" else CIFAR100
        path = fetch_files(spec)[0] if data_dir is None else find_cifar(spec, layout, data_dir)
        train, test, names = read_cifar(path, layout)
        return {"train": train, "test": test}, names, str(path)
    file = split_file_spec(spec)
    if file is not None:
        return *read_user_data(find_program(file[0], spec, data_dir), file[1], spec), spec
    path = find_path(spec, data_dir)
    if path.is_dir():
        return *read_image_folder(path, image_size=image_size), str(path)
    if path.suffix != ".npz":
        raise DataError(
            "not a data set", where=str(path), expected="a folder of images, a .npz or file.py:name",
            hint="numpy.savez('data.npz', x=..., y=...), or a function that returns {\"train\": (x, y)}",
        )  # fmt: skip
    return read_npz(path), (), str(path)


def _read_digits() -> _Read:
    from sklearn.datasets import load_digits  # imported here: it takes as long as the rest of this package

    digits = load_digits()
    x = digits.images.reshape(-1, 1, 8, 8) / 16.0
    names = tuple("0123456789")
    return {"train": make_examples(x, digits.target, "digits")}, names, "scikit-learn's digits (embedded)"


def name_classes(names: tuple[str, ...], train: Examples, where: str) -> tuple[str, ...]:
    """Return the names, or numbers up to the largest training label where there are none; () for float targets."""
    if train.y.is_floating_point():
        return ()
    highest = int(train.y.max())
    if not names and highest >= len(train):
        raise DataError(
            f"label {highest} with {number_of(len(train), 'training example')}",
            where=where,
            expected="class indices 0..K-1",
            hint="number the classes 0, 1, 2, ..., or y.astype('float32') for a regression",
        )
    return names or tuple(map(str, range(highest + 1)))


def check_shapes(parts: Mapping[str, Examples], where: str) -> None:
    """Raise DataError when the parts differ in the shape of one example."""
    shapes = {name: tuple(part.x.shape[1:]) for name, part in parts.items()}
    other = next((name for name, shape in shapes.items() if shape != shapes["train"]), None)
    if other is not None:
        raise DataError(
            f"{other} and train differ in shape",
            where=where,
            expected=str(shapes["train"]),
            found=str(shapes[other]),
            hint="--image-size",
        )
