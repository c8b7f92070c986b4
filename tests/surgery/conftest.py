"""Random feed-forward networks and random edits of them, as hypothesis strategies shared by the surgery tests."""

import warnings
from dataclasses import dataclass

import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import depthprobe as dp

BATCH = 9
ACTIVATIONS = (nn.ReLU, nn.GELU, nn.Tanh, nn.PReLU, nn.LeakyReLU, nn.SiLU)
FUNCTIONS = (
    F.relu,
    torch.relu,
    F.gelu,
    torch.tanh,
    F.leaky_relu,
    lambda x: x.relu(),
    lambda x: F.relu(x, inplace=True),
)
FLATTENS = (
    lambda x: torch.flatten(x, 1),
    lambda x: x.view(x.size(0), -1),
    lambda x: x.reshape(x.shape[0], -1),
    lambda x: x.flatten(1),
)


@dataclass
class Net:
    """A random network with what it takes: example (one image), batch (nine)."""

    model: nn.Module
    example: torch.Tensor
    batch: torch.Tensor


class Functional(nn.Module):
    """Weight layers as modules, everything else in `forward`."""

    def __init__(self, blocks, head_in, flatten):
        super().__init__()
        self.names, self.after = [], []
        self.register_buffer("mean", torch.tensor(0.25))
        for index, (conv, norm, activation, pool, dropout) in enumerate(blocks):
            self.add_module(f"conv{index}", conv)
            self.add_module(f"norm{index}", norm or nn.Identity())
            self.after.append((activation, pool, dropout))
        self.flatten = flatten
        self.fc = nn.Linear(head_in, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        x = x - self.mean
        for index, (activation, pool, dropout) in enumerate(self.after):
            x = getattr(self, f"conv{index}")(x)
            x = getattr(self, f"norm{index}")(x)
            x = F.max_pool2d(x, 2) if pool == "before" else x
            x = activation(x)
            x = F.avg_pool2d(x, 2) if pool == "after" else x
            x = F.dropout(x, 0.3, training=self.training) if dropout else x
        return self.head(F.relu(self.fc(self.flatten(x))))


def draw_conv(draw, dims, channels, size):
    """A conv layer that runs on (channels, size, ...); plain 3x3 where the draw does not fit."""
    kind = {1: nn.Conv1d, 2: nn.Conv2d}[dims]
    out = draw(st.sampled_from([2, 4, 6]))
    kernel, stride, dilation = draw(st.sampled_from([1, 2, 3, 4, 5])), draw(st.sampled_from([1, 1, 2])), 1
    mode = draw(st.sampled_from(["zeros", "zeros", "circular", "reflect"])) if kernel == 3 else "zeros"
    if mode == "zeros":
        dilation = draw(st.sampled_from([1, 1, 2]))
    groups = draw(st.sampled_from([g for g in (1, 1, 2, channels) if channels % g == 0 and out % g == 0]))
    padding = draw(st.sampled_from([0, kernel // 2, "same" if stride == 1 and kernel % 2 else kernel // 2]))
    bias = draw(st.booleans())
    conv = kind(channels, out, kernel, stride, padding, dilation, groups, bias, mode)
    reach = dilation * (kernel - 1) + 1
    shrunk = size if padding == "same" else (size + 2 * padding - reach) // stride + 1
    return (conv, shrunk) if shrunk >= 5 else (kind(channels, out, 3, padding=1, bias=bias), size)


def draw_norm(draw, dims, channels, size):
    kind = draw(st.sampled_from([None, "batch", "batch", "group", "layer"]))
    if kind == "batch":
        return {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[dims](channels)
    if kind == "group":
        return nn.GroupNorm(2 if channels % 2 == 0 else 1, channels)
    return nn.LayerNorm([channels] + [size] * dims) if kind == "layer" else None


@st.composite
def conv_nets(draw):
    dims = draw(st.sampled_from([1, 2, 2]))
    channels, size, layers = 2, 12, []
    for _ in range(draw(st.integers(1, 3))):
        conv, size = draw_conv(draw, dims, channels, size)
        channels = conv.out_channels
        norm, act = draw_norm(draw, dims, channels, size), draw(st.sampled_from(ACTIVATIONS))()
        if isinstance(act, nn.ReLU):
            act.inplace = draw(st.booleans())
        order = draw(st.sampled_from(["norm first", "norm last", "pool between"]))
        pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d}[dims](2)
        block = [conv, norm, act] if order != "norm last" else [conv, act, norm]
        if order == "pool between" and size >= 10:
            block.insert(2, pool)
            size //= 2
        if draw(st.booleans()):
            block.append(nn.Dropout(0.25))
        layers += [layer for layer in block if layer is not None]
    pooling = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d}[dims](2)
    model = nn.Sequential(*layers, pooling, nn.Flatten(), nn.Linear(channels * 2**dims, 3))
    return model, (2, *[12] * dims)


@st.composite
def functional_nets(draw):
    channels, size, blocks = 2, 12, []
    for _ in range(draw(st.integers(1, 3))):
        conv, size = draw_conv(draw, 2, channels, size)
        channels = conv.out_channels
        pool = draw(st.sampled_from(["", "before", "after"])) if size >= 10 else ""
        norm = draw_norm(draw, 2, channels, size)
        size = size // 2 if pool else size
        blocks.append((conv, norm, draw(st.sampled_from(FUNCTIONS)), pool, draw(st.booleans())))
    return Functional(blocks, channels * size * size, draw(st.sampled_from(FLATTENS))), (2, 12, 12)


@st.composite
def mlps(draw):
    layers, width = [], 5
    for _ in range(draw(st.integers(1, 4))):
        out = draw(st.sampled_from([4, 5, 8]))
        layers.append(nn.Linear(width, out, bias=draw(st.booleans())))
        norm = draw_norm(draw, 0, out, 0)
        layers += [norm] if norm is not None else []
        layers.append(draw(st.sampled_from(ACTIVATIONS))())
        layers += [nn.Dropout(0.25)] if draw(st.booleans()) else []
        width = out
    return nn.Sequential(nn.Sequential(*layers), nn.Linear(width, 3)), (5,)


@st.composite
def random_nets(draw):
    seed = draw(st.integers(0, 1000))
    torch.manual_seed(seed)
    model, shape = draw(st.one_of(conv_nets(), functional_nets(), mlps()))
    model.train(draw(st.booleans()))
    frozen = draw(st.booleans())
    for index, module in enumerate(model.modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.train(module.training and not frozen)
        if frozen and index % 2 and isinstance(module, (nn.Linear, nn.Conv2d)):
            module.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    return Net(model, torch.randn(1, *shape, generator=generator), torch.randn(BATCH, *shape, generator=generator))


@st.composite
def random_edits(draw, net, removals=True):
    """A recipe that the network's units allow: copies after some, a gate around or a removal of others."""
    edits = []
    for unit in dp.units(net.model, net.example):
        if unit.shrinkable and draw(st.booleans()):
            kind = draw(st.sampled_from([dp.Gate, dp.Remove])) if removals else dp.Gate
            edits.append(kind(unit=unit.name))
            if kind is dp.Remove:
                continue
        if unit.growable and draw(st.integers(0, 3)):
            edits.append(
                dp.Duplicate(
                    unit=unit.name,
                    copies=draw(st.integers(1, 2)),
                    kernel=draw(st.sampled_from([None, None, 3])) if unit.kind == "conv" else None,
                    init=draw(st.sampled_from(["default", "xavier", "he", "gaussian:0.1"])),
                    mode=draw(st.sampled_from(["prefix", "prefix", "bernoulli", "blend"])),
                    granularity=draw(st.sampled_from(["sample", "channel", "activation"])),
                )
            )
    return edits


@pytest.fixture(scope="session")
def nets():
    """Strategy of random networks."""
    return random_nets()


@pytest.fixture(scope="session")
def recipes():
    """Function of a network: strategy of recipes that it takes."""
    return random_edits


def _declare_operators():
    """torchvision imports on a CPU build of torch only once its two operators are declared; timm imports it."""
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


@pytest.fixture(scope="session")
def zoo():
    """Function of a library's name: the library, or a skip with the reason."""
    kept = []

    def load(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept.append(_declare_operators())
            return pytest.importorskip(name, reason=f"{name} is not installed (pip install depthprobe[zoo])")

    return load
