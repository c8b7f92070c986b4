"""depthprobe inspect: the tree of units, their costs, every reason once, the same as JSON."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from depthprobe.cli.unit_tree import tree
from depthprobe.probes.anatomy import dissect

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8 * 64, 10)
    def forward(self, x):
        return self.head(self.body(x).flatten(1))
"""


@pytest.fixture
def net_file(cli, tmp_path):
    (tmp_path / "net.py").write_text(NET)


def test_costs_add_up():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    found = dissect(net.train(), torch.randn(2, 1, 8, 8))
    assert [part.unit.name for part in found.parts] == ["0", "3"]
    assert [part.macs for part in found.parts] == [9 * 4 * 36, 4 * 36 * 3]
    assert found.macs == sum(part.macs for part in found.parts)
    assert found.params == sum(part.unit.params for part in found.parts)
    assert 0 < sum(part.time_ms for part in found.parts) < found.time_ms * 1.5
    assert net.training
    assert not net[0]._forward_hooks
    assert not net[0]._forward_pre_hooks


def test_a_reason_is_said_once():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    found = dissect(net, torch.randn(2, 4))
    assert sorted(name for names in found.reasons.values() for name in names) == ["0", "1", "2"]
    assert len(found.reasons) < 3


def test_paths_become_a_tree():
    units = [{"name": name} for name in ("conv1", "layer1.0.a", "layer1.0.b", "layer1.1.a", "fc")]
    lines = [label for label, _ in tree(units)]
    assert lines == ["conv1", "layer1", "  0", "    a", "    b", "  1", "    a", "fc"]
    assert [unit["name"] for _, unit in tree(units) if unit] == [unit["name"] for unit in units]


def test_text_and_json_agree(cli, net_file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, out, err = cli("inspect", "net.py", "--input-shape", "1,8,8")
    assert (code, err) == (0, "")
    for text in ("body", "  0", "grow shrink narrow", "cannot grow: it is the model's output", "torch.fx"):
        assert text in out
    info = json.loads(cli("inspect", "net.py", "--input-shape", "1,8,8", "--json")[1])
    assert [unit["name"] for unit in info["units"]] == ["body.0", "body.2", "head"]
    assert info["reasons"] == [{"cannot": "grow", "reason": "it is the model's output", "units": ["head"]}]
    assert info["tracer"] == "fx"
    assert info["grow"]["gates"][0] == "body.0_copy1"
    assert json.loads(cli("inspect", "net.py", "-d", "digits", "--json")[1])["input_shape"] == [1, 8, 8]


def test_tokens_by_shape(cli, tmp_path):
    text = (
        "import torch\nfrom torch import nn\nmodel = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))"
    )
    (tmp_path / "words.py").write_text(text)
    code, out, _ = cli("inspect", "words.py", "--input-shape", "5", "--json")
    assert code == 0
    assert json.loads(out)["units"][-1]["name"] == "2"


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_a_model_by_name_fits_the_data_set(cli):
    code, out, _ = cli("inspect", "torchvision:squeezenet1_1", "--input-shape", "3,64,64", "--json")
    assert code == 0
    assert json.loads(out)["params"] == 1_235_496


BLOCKS = """
from torch import nn
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16)
    def forward(self, x):
        return x + self.two(self.one(x).relu())
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.head = nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)
        self.blocks, self.same = nn.Sequential(Block(), Block()), nn.Identity()
    def forward(self, x):
        return self.head(self.blocks(self.act(self.same(self.first(x.flatten(1))))))
"""


@pytest.mark.parametrize(
    ("tracer", "first"), [("fx", "blocks.0"), ("modules", "first")]
)  # a graph ends a unit at an Identity
def test_the_plan_is_made_with_the_tracer_asked_for(cli, tmp_path, tracer, first):
    (tmp_path / "blocks.py").write_text(BLOCKS)
    code, out, _ = cli("inspect", "blocks.py", "--input-shape", "1,8,8", "--tracer", tracer, "--json")
    assert code == 0
    assert json.loads(out)["grow"]["gates"][0].startswith(f"{first}_copy")


def test_unknown_tracer(cli, net_file):
    code, _, err = cli("inspect", "net.py", "--input-shape", "1,8,8", "--tracer", "magic")
    assert code == 2
    assert "auto | fx | modules" in err
