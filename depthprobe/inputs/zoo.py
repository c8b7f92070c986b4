"""The packages that bring models: imported when asked for, also beside a CPU build of torch."""

import importlib
import importlib.util
import sys
from types import ModuleType

import torch

from depthprobe.errors import ModelError

PACKAGES = ("torchvision", "timm", "transformers")
# What torchvision's import looks up; beside a CPU build from another index its own library does not load.
_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # the declarations live as long as their library object


def import_zoo(package: str, where: str) -> ModuleType:
    """Import torchvision, timm or transformers.

    torchvision is a part of the other two's imports; where its import fails because its two operators are not
    there (a build for another torch), they are declared without a kernel: classifiers need none, detection does.
    Raises ModelError when the package is missing or cannot be imported.
    """
    if importlib.util.find_spec(package) is None:
        raise ModelError(
            f"{package} is not installed", where=where, hint=f"pip install {package}, or pip install 'depthprobe[zoo]'"
        )
    try:
        if importlib.util.find_spec("torchvision") is not None:
            _import_torchvision()
        return importlib.import_module(package)
    except (ImportError, RuntimeError, OSError) as problem:
        raise ModelError(
            f"{package} is installed but cannot be imported", where=where, found=str(problem),
            hint="a version made for this torch: pip install 'depthprobe[zoo]'",
        ) from problem  # fmt: skip


def has_kernels() -> bool:
    """Whether torchvision's own operators can run: detection models need them."""
    return not _declared


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as problem:
        if "operator torchvision::nms does not exist" not in str(problem):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in _OPERATORS:
            library.define(operator)  # type: ignore[no-untyped-call]
        _declared.append(library)
        importlib.import_module("torchvision")
