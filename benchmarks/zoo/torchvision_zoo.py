"""torchvision's models: classification, segmentation, video, optical flow; what is left out, and why."""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from depthprobe.inputs.zoo import has_kernels, import_zoo
from zoo.cases import Case, nothing, picture

GROUPS = ("classification", "segmentation", "video", "optical_flow", "detection", "quantization")
# Sides of the pictures: 64 px, or the least that the model's own pooling and windows allow.
_SIDES = {"inception_v3": 299, "maxvit_t": 224}
_CLIPS = {"s3d": (3, 14, 224, 224), "mvit_v1_b": (3, 8, 64, 64), "mvit_v2_s": (3, 8, 64, 64)}
_TRAIN_BATCH = {"s3d": 8}


def cases() -> list[Case]:
    """All of torchvision's models, group by group, in alphabetical order."""
    models = import_zoo("torchvision", "coverage.py").models
    found = []
    for group in GROUPS:
        home = models if group == "classification" else getattr(models, group)
        found += [_case(models, group, name) for name in models.list_models(module=home)]
    return found


def _case(models: Any, group: str, name: str) -> Case:
    reason = _excluded(group)
    build, inputs = (nn.Identity, nothing) if reason else _how(models, group, name)
    return Case("torchvision", name, group, build, inputs, _TRAIN_BATCH.get(name), excluded=reason)


def _excluded(group: str) -> str | None:
    if group == "quantization":
        return "quantised: int8 weights are no parameters, nothing in it trains"
    if group == "detection" and not has_kernels():
        return "torchvision::nms has no kernel beside this build of torch: the model itself does not run"
    return None


def _how(models: Any, group: str, name: str) -> tuple[Callable[[], nn.Module], Callable[[int], Any]]:
    side = _SIDES.get(name, 64)
    options: dict[str, Any] = {"weights": None}
    if group in ("segmentation", "detection"):
        options["weights_backbone"] = None
    if name.startswith("vit_"):
        options["image_size"] = side = 56 if name.endswith("14") else 64
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # scipy draws a truncated normal for minutes
    inputs: Callable[[int], Any] = picture(3, side, side)
    if group == "video":
        inputs = picture(*_CLIPS.get(name, (3, 4, 64, 64)))
    if group == "optical_flow":
        inputs = _two_frames
    if group == "detection":
        inputs = _list_of_pictures
    build = partial(models.get_model, name, **options)
    return (partial(_small_mvit, models.video.mvit, build) if name.startswith("mvit_") else build), inputs


def _small_mvit(home: Any, build: Callable[[], nn.Module]) -> nn.Module:
    """Its factories fix the clip's size; its tables of positions follow the size, so a small clip will do."""
    make = home._mvit
    with patch.object(home, "_mvit", lambda **given: make(**{**given, "spatial_size": (64, 64), "temporal_size": 8})):
        return build()


def _two_frames(batch: int) -> dict[str, Any]:
    one, two = picture(3, 128, 128)(2 * batch).chunk(2)
    return {"image1": one, "image2": two, "num_flow_updates": 2}


def _list_of_pictures(batch: int) -> tuple[list[torch.Tensor]]:
    return (list(picture(3, 96, 96)(batch)),)
