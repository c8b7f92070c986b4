"""The 11 layers of the paper's Table 2 for CIFAR-10, and the three-layer network that they grew from.

Look at it: depthprobe inspect examples/paper/cifar11.py:cifar11 --input 3,32,32
Table 2 has no pooling between the pairs: all conv layers but the last see the full image, "for simplicity".
"""

from collections import OrderedDict

from torch import nn

from examples.paper.parts import Pixels, Pool, WithinChannelNorm, count_features, draw


def cifar11(
    width: int = 32,
    shape: tuple[int, int, int] = (3, 32, 32),
    init: str = "gaussian:0.01",
    keep_gain: bool = False,
    pairs: bool = True,
) -> nn.Sequential:
    """(B, *shape) -> (B, 10) logits. keep_gain: a Gaussian is drawn wider where `width` is below the paper's 32; pairs:
    False leaves the added layers out: what DropIn begins with.
    """
    layers = OrderedDict[str, nn.Module](pixels=Pixels(62.0))
    channels = shape[0]
    names = [f"{stage}_{k}" for stage in range(1, 6) for k in ((1, 2) if pairs else (1,))]
    for rank, name in enumerate([*names, "6_1"]):
        last = name == "6_1"
        conv = nn.Conv2d(channels, 2 * width if last else width, 3 if last else 5, padding=1 if last else 2)
        paper = (9 if last else 25) * (32 if rank else shape[0])
        layers[f"conv{name}"] = draw(conv, init, fan_in=paper if keep_gain else None)
        layers[f"relu{name}"] = nn.ReLU()
        if not last:
            layers[f"norm{name}"] = WithinChannelNorm(3, alpha=5e-5)
        channels = conv.out_channels
    return _finish(layers, shape)


def cifar3(
    width: int = 32, shape: tuple[int, int, int] = (3, 32, 32), init: str = "gaussian:0.01", keep_gain: bool = False
) -> nn.Sequential:
    """The left column of Table 2, (B, *shape) -> (B, 10) logits."""
    layers = OrderedDict[str, nn.Module](pixels=Pixels(62.0))
    for stage, (inputs, outputs, kernel) in enumerate([(shape[0], width, 5), (width, width, 5), (width, 2 * width, 3)]):
        name = str(stage + 1)
        paper = kernel**2 * (32 if stage else inputs)
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        layers[f"conv{name}"] = draw(conv, init, fan_in=paper if keep_gain else None)
        layers[f"relu{name}"] = nn.ReLU()
        if stage < 2:
            layers[f"pool{name}"], layers[f"norm{name}"] = Pool(), WithinChannelNorm(3, alpha=5e-5)
    return _finish(layers, shape)


def _finish(layers: OrderedDict[str, nn.Module], shape: tuple[int, int, int]) -> nn.Sequential:
    layers["pool_last"], layers["flat"] = Pool(), nn.Flatten()
    features = count_features(nn.Sequential(layers), shape)
    layers["fc"] = draw(nn.Linear(features, 10), "gaussian:0.01")
    return nn.Sequential(layers)
