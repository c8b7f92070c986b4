"""A network that cannot be fine-tuned as it is: refused before anything is trained, with what to do."""

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.errors import ModelError


def network(first):
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.mark.parametrize("verb", [dp.shrink, dp.width])
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (network(nn.LazyLinear(16)), ["no weights yet", "1.weight", "model(example_inputs)"]),
        (network(nn.Linear(64, 16)).half(), ["half precision", "1.weight", "torch.float16", "model.float()"]),
        (network(nn.Linear(64, 16)).to(torch.bfloat16), ["half precision", "torch.bfloat16", "model.float()"]),
    ],
)
def test_weights_that_cannot_be_trained_on_are_refused(tmp_path, model, words, verb):
    with pytest.raises(ModelError) as caught:
        verb(model, "digits", out=tmp_path / "run", limit_train=200, steps=20, seeds=1, lr=0.01)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "run").exists()
