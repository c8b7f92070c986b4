"""Data passed from Python: the same dict that a `file.py:name` returns."""

from collections.abc import Mapping
from typing import Any

from depthprobe.inputs.arrays import check_classes
from depthprobe.inputs.datasets import check_shapes, name_classes
from depthprobe.inputs.examples import Dataset, hash_examples
from depthprobe.inputs.userdata import read_parts

NAME = "<python>"


def as_dataset(data: Dataset | Mapping[str, Any]) -> Dataset:
    """{"train", "valid", "test"} of torch data sets, loaders or (x, y) pairs -> Dataset; a Dataset is returned as it
    is. Raises DataError for anything that is missing, damaged or unfit.
    """
    if isinstance(data, Dataset):
        return data
    read, names = read_parts(data, NAME)
    classes = name_classes(names, read["train"], NAME)
    check_classes(list(read.items()), len(classes), NAME)
    check_shapes(read, NAME)
    train = read["train"]
    return Dataset(
        name=NAME,
        train=train,
        valid=read.get("valid"),
        test=read.get("test"),
        classes=classes,
        colour=train.x.ndim == 4 and train.x.shape[1] == 3,
        source="Python objects",
        fingerprint=hash_examples([train, read.get("valid"), read.get("test")]),
    )
