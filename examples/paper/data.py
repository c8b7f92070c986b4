"""The data of a row: the paper's sets, smaller images at a smaller scale, the digits for a trial of seconds."""

from functools import lru_cache
from pathlib import Path

from depthprobe.inputs import Split, open_dataset, split_dataset
from examples.paper.folder import open_folder

SPLIT_SEED = 0


@lru_cache(maxsize=1)
def open_split(dataset: str, image: int | None, limit: int | None, data_dir: Path | None) -> Split:
    """Training, validation (for the curves) and test examples; the test set is looked at once, at the end of an arm.

    dataset: a name, or "imagenet": the folder `imagenet/{train,val}/<class>/*.jpg` in `data_dir`.
    """
    if dataset == "imagenet":
        return open_folder((data_dir or Path()) / "imagenet", image or 227)
    data = open_dataset(dataset, data_dir=data_dir, image_size=image, limit_train=limit)
    return split_dataset(data, split_seed=SPLIT_SEED)
