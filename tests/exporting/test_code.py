"""The generated file: readable, ours is not imported, and it gives the outputs bit for bit in a process without us."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import GraphError
from depthprobe.exporting import export_code
from depthprobe.inputs.zoo import import_zoo

REPLAY = """
import sys
sys.modules["depthprobe"] = None  # any import of it fails
import torch
torch.set_num_threads(1)
from network import load
net = load()
x, wanted = torch.load("case.pt")
with torch.no_grad():
    sys.exit(not torch.equal(net(x), wanted))
"""


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5, bias=False), nn.ReLU()
        )
        self.fc1, self.fc2 = nn.Linear(16 * 10 * 10, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = torch.flatten(F.max_pool2d(self.features(x), 1), 1)
        x = F.dropout(F.relu(self.fc1(x)), 0.4, self.training)
        return self.fc2(x)


def replayed(tmp_path, net, x):
    """Write the file, run it in a process without depthprobe; the text."""
    made = export_code(net, x)
    (tmp_path / "network.py").write_text(made.text)
    save_file(made.weights, tmp_path / "network.safetensors")
    with torch.no_grad():
        torch.save((x, net.eval()(x)), tmp_path / "case.pt")
    done = subprocess.run([sys.executable, "-c", REPLAY], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "import depthprobe" not in made.text
    return made.text


def opened(net, x, edits):
    edited = dp.apply(net, edits, x)
    edited.set_ratio(1.0)
    return dp.settle(edited)


def test_grown_lenet(tmp_path):
    x = torch.randn(3, 1, 28, 28)
    net = opened(LeNet(), x, [dp.Duplicate(unit="features.0", copies=2), dp.Duplicate(unit="fc1")])
    text = replayed(tmp_path, net, x)
    assert "self.features_0 = nn.Conv2d(1, 6, kernel_size=(5, 5), padding=(2, 2))" in text
    assert "self.features_3 = nn.Conv2d(6, 16, kernel_size=(5, 5), bias=False)" in text
    assert "x = self.features_0_copy2_0(x)" in text
    assert "self.fc2 = nn.Linear(32, 10)" in text


def test_shrunk_lenet(tmp_path):
    x = torch.randn(3, 1, 28, 28)
    edited = dp.apply(LeNet(), [dp.Remove(unit="features.3")], x)
    assert "features_3" in replayed(tmp_path, dp.settle(edited), x)


def test_dropout_follows_the_mode():
    made = export_code(LeNet(), torch.randn(2, 1, 28, 28))
    assert "F.dropout(x, p=0.4, training=self.training" in made.text


def from_torchvision(name, **settings):
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    return import_zoo("torchvision", name).models.get_model(name, weights=None, num_classes=10, **settings)


def test_resnet(tmp_path):
    text = replayed(tmp_path, from_torchvision("resnet18"), torch.randn(2, 3, 64, 64))
    assert "        x = y + x\n        x = self.layer1_0_relu(x)\n" in text


def test_vision_transformer(tmp_path):
    text = replayed(tmp_path, from_torchvision("vit_b_32", image_size=64), torch.randn(2, 3, 64, 64))
    assert "self.class_token = nn.Parameter(torch.empty(1, 1, 768))" in text
    assert "x = x[:, 0]" in text


def test_functions_of_packages_are_imported_from_where_they_live():
    text = export_code(from_torchvision("convnext_tiny"), torch.randn(2, 3, 64, 64)).text
    assert "from torchvision.ops.stochastic_depth import stochastic_depth" in text
    assert "and torchvision." in text.split("class ")[0]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.ones(8))
        self.register_buffer("shift", torch.arange(8.0))

    def forward(self, tokens):
        return self.head(self.embed(tokens) * self.scale + self.shift)[:, -1, :]


def test_tied_weights_stay_tied(tmp_path):
    text = replayed(tmp_path, Tied(), torch.randint(0, 20, (3, 5)))
    assert "self.head.weight = self.embed.weight" in text
    assert "[:, -1, :]" in text


class Layers(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x[0] if isinstance(self.layers[-1], nn.RNNBase) else x


SEQUENCES = [
    nn.LSTM(8, 6, num_layers=2, batch_first=True, bidirectional=True),
    nn.GRU(8, 6, bias=False),
    nn.RNN(8, 6, nonlinearity="relu"),
    nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True),
    nn.Sequential(nn.Linear(8, 8), nn.PReLU(), nn.LayerNorm(8, eps=1e-3), nn.GELU("tanh"), nn.Softmax(-1)),
    nn.Sequential(nn.Conv1d(5, 4, 3, padding="same", groups=1), nn.BatchNorm1d(4, affine=False), nn.GroupNorm(2, 4)),
]


@pytest.mark.parametrize("layer", SEQUENCES, ids=lambda layer: type(layer).__name__)
def test_layers_of_every_kind_are_written_as_they_were_made(layer):
    made = export_code(Layers(layer), torch.randn(2, 5, 8))  # compares the outputs itself
    assert f"nn.{type(layer[0] if isinstance(layer, nn.Sequential) else layer).__name__}(" in made.text


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else x


class Keeps(nn.Module):
    """Its hook changes the output: nothing that a constructor would know."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.fc.register_forward_hook(lambda module, inputs, output: output * 2)

    def forward(self, x):
        return self.fc(x)


def test_what_cannot_be_written_is_refused_with_the_reason():
    x = torch.randn(2, 8)
    with pytest.raises(GraphError, match=r"torch.fx cannot follow"):
        export_code(Branches(), x)
    with pytest.raises(GraphError, match="hooks or parametrizations"):
        export_code(Keeps(), x)
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)))
    with pytest.raises(GraphError, match="cannot be written as code"):
        export_code(normed, x)


def test_the_network_is_left_as_found():
    net, x = LeNet().train(), torch.randn(2, 1, 28, 28)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    export_code(net, x)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
