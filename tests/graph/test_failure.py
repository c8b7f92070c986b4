"""A forward that raises: the message names the module, the user's line, and what to do about it."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import GraphError

X = torch.randn(2, 1, 8, 8)


class Net(nn.Module):
    def __init__(self, forward, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.second = nn.Conv2d(channels, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def plain(self, x):
    x = F.relu(self.conv(x))
    x = F.relu(self.second(x))  # the call that is named
    return self.head(x.mean((2, 3)))


def misspelt(self, x):
    x = F.relu(self.conv(x))
    return self.head(x.mean((2, 3)) + bais)  # noqa: F821  # a bug of the user's


def absent(self, x):
    return self.head(F.relu(self.conw(x)).mean((2, 3)))


def divided(self, x):
    return self.head(self.conv(x).mean((2, 3)) / (1 // 0))


def line_of(text):
    return 1 + next(n for n, line in enumerate(Path(__file__).read_text().splitlines()) if text in line)


def message(model, tracer="auto"):
    with pytest.raises(GraphError) as caught:
        dp.units(model, X, tracer)
    text = str(caught.value)
    assert len(text.splitlines()) <= 6
    return text


@pytest.mark.parametrize("tracer", ["auto", "fx", "modules"])
def test_a_wrong_shape_names_the_module_and_the_line_that_calls_it(tracer):
    text = message(Net(plain, channels=8), tracer)
    assert "does not run on an input of shape (2, 1, 8, 8)" in text
    assert f"second (Conv2d), called at {__file__}:{line_of('# the call that is named')}" in text
    assert "call_module" not in text


def test_inside_a_sequential_the_member_is_named():
    text = message(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(100, 10)))
    assert "where:    3 (Linear)\n" in text


@pytest.mark.parametrize(
    ("forward", "kind", "line"),
    [(misspelt, "NameError", "# noqa: F821"), (absent, "AttributeError", "self.conw"), (divided, "Zero", "(1 // 0))")],
)
def test_a_bug_in_forward_says_what_was_raised_and_where(forward, kind, line):
    text = message(Net(forward))
    assert re.match(rf"Net\.forward raises {kind}\w*: ", text)
    assert f"where:    {__file__}:{line_of(line)}" in text
    assert "shape" not in text
    assert "mend that line" in text


def by_name(self, x):
    x = self.act(input=self.conv(input=x))
    x = F.relu(self.second(input=x))
    return self.head(input=x.mean((2, 3)))


@pytest.mark.parametrize("tracer", ["fx", "modules"])
def test_a_layer_that_is_called_by_keyword_is_a_unit_like_any_other(tracer):
    model = Net(by_name).eval()
    assert [unit.name for unit in dp.units(model, X, tracer) if unit.growable] == ["conv", "second"]
    edits = [dp.Duplicate(unit="conv"), dp.Gate(unit="second"), dp.Duplicate(unit="second")]
    edited = dp.apply(model, edits, X, tracer=tracer).eval()
    edited.set_ratios({name: float("copy" not in name) for name in edited.gates})
    assert torch.equal(edited(X), model(X))
    edited.set_ratio(1.0)
    assert torch.equal(dp.settle(edited)(X), edited(X))


def test_a_training_says_the_same_before_it_begins(tmp_path):
    from depthprobe.config import TrainConfig, TrainingConfig
    from depthprobe.inputs import open_model
    from depthprobe.probes.setup import DataSource
    from depthprobe.probes.train import set_up_training

    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Linear):\n    def forward(self, x):\n        return x + bias\n\n\n"
        "model = Net(64, 10)\n"
    )
    model, source = open_model(str(tmp_path / "net.py")), DataSource(spec="digits", limit_train=100)
    with pytest.raises(GraphError, match=r"Net\.forward raises NameError") as caught:
        set_up_training(model, source, TrainingConfig(), TrainConfig(lr=0.1, steps=20))
    assert caught.value.where.endswith("net.py:6")
