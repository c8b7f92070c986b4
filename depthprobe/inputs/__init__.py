"""What the user brings: a model source and a data set, checked before anything is created."""

from depthprobe.inputs.augment import flip_and_crop
from depthprobe.inputs.datasets import KNOWN, open_dataset
from depthprobe.inputs.examples import Dataset, Examples, Split
from depthprobe.inputs.fitting import as_tokens, fit_to_data
from depthprobe.inputs.memory_data import as_dataset
from depthprobe.inputs.memory_model import InMemoryModel
from depthprobe.inputs.model_args import parse_model_args
from depthprobe.inputs.models import ModelSource, open_model
from depthprobe.inputs.splits import is_small, split_dataset

__all__ = [
    "KNOWN",
    "Dataset",
    "Examples",
    "InMemoryModel",
    "ModelSource",
    "Split",
    "as_dataset",
    "as_tokens",
    "fit_to_data",
    "flip_and_crop",
    "is_small",
    "open_dataset",
    "open_model",
    "parse_model_args",
    "split_dataset",
]
