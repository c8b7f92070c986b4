"""Whatever a model's output is wrapped in, one tensor of it is trained and measured."""

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from depthprobe.errors import ModelError
from depthprobe.training.outputs import main_output

LOGITS = torch.ones(2, 3)
Pair = namedtuple("Pair", ["logits", "aux"])


@pytest.mark.parametrize(
    "output",
    [
        LOGITS, {"logits": LOGITS, "loss": None}, {"aux": None, "out": LOGITS}, SimpleNamespace(logits=LOGITS),
        (LOGITS, torch.zeros(1)), [None, LOGITS], Pair(LOGITS, None),
    ],
)  # fmt: skip
def test_the_tensor_is_found(output):
    assert main_output(output) is LOGITS


@pytest.mark.parametrize("output", [None, {"hidden": LOGITS}, ("text",), SimpleNamespace(value=LOGITS)])
def test_an_output_without_one_is_refused_by_its_kind(output):
    with pytest.raises(ModelError, match=type(output).__name__):
        main_output(output)
