"""The data of a row: the paper's sets, smaller images at a smaller scale, the digits for a trial of seconds."""

from functools import lru_cache
from pathlib import Path

from depthprobe.inputs import Split, open_dataset, split_dataset

SPLIT_SEED = 0


@lru_cache(maxsize=1)
def open_split(dataset: str, image: int | None, limit: int | None, data_dir: Path | None) -> Split:
    """Training, validation (for the curves) and test examples; the test set is looked at once, at the end of an arm.

    dataset: a name, or "imagenet": the folder `imagenet/{train,val}/<class>/*.jpg` in `data_dir`.
    """
    place = str((data_dir or Path()) / "imagenet") if dataset == "imagenet" else dataset
    data = open_dataset(place, data_dir=data_dir, image_size=image, limit_train=limit)
    return split_dataset(data, split_seed=SPLIT_SEED)
