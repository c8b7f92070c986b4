"""ImageNet as an image folder that is read batch by batch: as one tensor it would fill 800 GB."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from depthprobe.inputs import Examples, Split

MEAN, STD = (123 / 255, 117 / 255, 104 / 255), 62 / 255  # Caffe's mean pixel; the scale that parts.Pixels undoes
HELD_OUT = 5000  # training images that give the curves
READERS = 16


class LazyImages:
    """Stands for a tensor (N, 3, size, size): indexing it reads those images, standardised."""

    def __init__(self, paths: Sequence[Path], size: int, device: torch.device | str = "cpu") -> None:
        self.paths, self.size, self.device = list(paths), size, device
        self.shape = (len(self.paths), 3, size, size)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """Images at a slice or at indices (B,): (B, 3, size, size)."""
        chosen = self.paths[index] if isinstance(index, slice) else [self.paths[i] for i in index.tolist()]
        with ThreadPoolExecutor(READERS) as pool:
            pixels = torch.stack(list(pool.map(self._read, chosen)))
        mean = torch.tensor(MEAN).view(3, 1, 1)
        return ((pixels - mean) / STD).to(self.device)

    def to(self, device: torch.device) -> "LazyImages":
        """The same images, given on `device`."""
        return LazyImages(self.paths, self.size, device)

    def _read(self, path: Path) -> Tensor:
        with Image.open(path) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(fitted, np.float32) / 255.0).permute(2, 0, 1)


def open_folder(folder: Path, size: int, held_out: int = HELD_OUT) -> Split:
    """`folder/train/<class>/*` and `folder/val/<class>/*`: training images, some held out, and the paper's validation
    images as the test set.
    """
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    train, test = ([(path, classes.index(path.parent.name)) for path in sorted((folder / part).glob("*/*"))]
                   for part in ("train", "val"))  # fmt: skip
    random.Random(0).shuffle(train)
    fit, valid, seen = (_lazy(rows, size) for rows in (train[held_out:], train[:held_out], test))
    return Split(train=fit, valid=valid, test=seen, mean=MEAN, std=(STD,) * 3, valid_id=f"{folder.name}-{held_out}")


def _lazy(rows: list[tuple[Path, int]], size: int) -> Examples:
    labels = torch.tensor([label for _, label in rows], dtype=torch.int64)
    return Examples(LazyImages([path for path, _ in rows], size), labels)  # type: ignore[arg-type]
