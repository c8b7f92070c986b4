"""Grown networks leave: as a file that runs where depthprobe is not, and as ONNX. Their copies are no identities."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.exporting.files import Source, write_export
from depthprobe.inputs.zoo import import_zoo

ELSEWHERE = """
import sys
import warnings
class Without:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "depthprobe":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without)
import torch
torch.set_num_threads(1)
warnings.simplefilter("ignore")
if len(sys.argv) > 2:  # a CPU build of torch: torchvision looks up two operators that its own library does not bring
    kept = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        kept.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
try:
    import depthprobe
    sys.exit("depthprobe is there")
except ModuleNotFoundError:
    sys.path.insert(0, sys.argv[1])
from network import load
net = load()
x, wanted = torch.load(sys.argv[1] + "/case.pt")
with torch.no_grad():
    sys.exit(not torch.equal(net(x), wanted))
"""


class LeNet(nn.Module):
    """As in its paper, but for ReLU and maximum pooling."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def library(name):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed (pip install 'depthprobe[zoo]')")
    return import_zoo(name, name)


def vision_transformer():
    kind = library("torchvision").models.VisionTransformer
    return kind(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=48, num_classes=10)


def timm_transformer():
    settings = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_classes": 10}
    return library("timm").create_model("vit_tiny_patch16_224", pretrained=False, **settings)


def resnet18():
    return library("torchvision").models.get_model("resnet18", weights=None, num_classes=10)


# name -> (model, shape of one picture, units that are copied)
GROWN = {
    "lenet": (LeNet, (1, 28, 28), ["conv1", "conv2", "fc1"]),
    "resnet18": (resnet18, (3, 32, 32), ["conv1", "layer1.0", "layer2.0", "layer4.1"]),
    "vit": (vision_transformer, (3, 32, 32), ["encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1"]),
    "timm vit": (timm_transformer, (3, 32, 32), ["blocks.0", "blocks.1"]),
}


@pytest.fixture(params=GROWN, scope="module")
def grown(request):
    """A settled network with two copies of each unit, begun as identities where they can be, every weight moved."""
    make, shape, units = GROWN[request.param]
    torch.manual_seed(0)
    model, x = make(), torch.randn(3, *shape)
    known = [unit.name for unit in dp.units(model, x)]
    edits = [dp.Duplicate(unit=name, copies=2, init="identity") for name in units]
    assert set(units) <= set(known)
    edited = dp.apply(model, edits, x)
    edited.set_ratio(1.0)
    net = dp.settle(edited).eval()
    with torch.no_grad():
        before = net(x)
        for parameter in net.parameters():
            parameter.add_((0.3 * parameter.std() + 0.01) * torch.randn_like(parameter))
        assert not torch.allclose(net(x), before, atol=1e-3)
        short = dp.settle(dp.apply(net, [dp.Remove(unit=_a_copy(net, x))], x))
        assert not torch.allclose(net(x), short.eval()(x), atol=1e-3)  # the copies compute something
    return net, x


def _a_copy(net, x):
    return next(unit.name for unit in dp.units(net, x) if "_copy1" in unit.name and unit.shrinkable)


@pytest.fixture
def source(grown):
    net, x = grown
    return Source(state=net.state_dict(), about={"recipe": "", "versions": {}}, build=lambda: (net, x))


def test_the_code_of_a_grown_network_runs_where_depthprobe_is_not(grown, source, tmp_path):
    net, x = grown
    write_export(source, "code", tmp_path / "network.py")
    with torch.no_grad():
        torch.save((x, net(x)), tmp_path / "case.pt")
    text = (tmp_path / "network.py").read_text()
    assert "import depthprobe" not in text
    assert "_copy2" in text
    declare = ["declare"] if "torchvision" in text or "timm" in text else []
    command = [sys.executable, "-I", "-c", ELSEWHERE, str(tmp_path), *declare]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_onnx_of_a_grown_network_agrees(grown, source, tmp_path):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed (pip install 'depthprobe[onnx]')")
    import onnxruntime

    net, x = grown
    write_export(source, "onnx", tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    for batch in (x, x[:1], torch.cat((x, x))):
        found = session.run(None, {session.get_inputs()[0].name: batch.numpy()})[0]
        with torch.no_grad():
            assert (torch.from_numpy(found) - net(batch)).abs().max() <= 1e-4
