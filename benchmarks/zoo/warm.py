"""Imported once by the process that the children are forked from: the packages, and the code under test."""

import torch

import depthprobe.surgery
from depthprobe.inputs.zoo import PACKAGES, import_zoo
from zoo import checks, hf_zoo, timm_zoo, torchvision_zoo

torch.set_num_threads(1)
for _package in PACKAGES:
    import_zoo(_package, "coverage.py")

__all__ = ["checks", "depthprobe", "hf_zoo", "timm_zoo", "torchvision_zoo"]
