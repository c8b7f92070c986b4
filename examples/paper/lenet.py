"""LeNet(2N) of the paper's Table 1: N conv layers, a pool, N more, a pool, one hidden layer.

Look at it: depthprobe inspect examples/paper/lenet.py:lenet --model-args n=5 --input 1,28,28
The table names no activation behind the conv layers, and LeNet of Caffe has none; here there is a ReLU (without it, the
added layers would be linear and add no depth), and an arm without.
"""

from collections import OrderedDict

from torch import nn

from examples.paper.parts import Pixels, Pool, count_features, draw


def lenet(
    n: int = 5,
    widths: tuple[int, int] = (20, 50),
    hidden: int = 500,
    shape: tuple[int, int, int] = (1, 28, 28),
    padding: tuple[int, int] = (0, 0),
    init: str = "xavier",
    dropout: bool = False,
    relu: bool = True,
) -> nn.Sequential:
    """(B, *shape) -> (B, 10) logits. n: conv layers per stage, 1 is LeNet itself; padding: of the two 5x5 layers; init:
    of the added layers, the first ones are drawn as in LeNet's own files; dropout: behind every hidden layer, off at
    first; relu: behind the conv layers.
    """
    layers = OrderedDict[str, nn.Module](pixels=Pixels(0.31, 0.13))
    channels, final = shape[0], "default" if init == "default" else "xavier"
    for stage, width in enumerate(widths, 1):
        for k in range(1, n + 1):
            name = f"{stage}_{k}"
            kernel, pad = (3, 1) if k > 1 else (5, padding[stage - 1])
            conv = nn.Conv2d(channels, width, kernel, padding=pad)
            layers[f"conv{name}"] = draw(conv, init if k > 1 else final)
            if relu:
                layers[f"relu{name}"] = nn.ReLU()
            if dropout:
                layers[f"drop{name}"] = nn.Dropout(0.0)
            channels = width
        layers[f"pool{stage}"] = Pool()
    layers["flat"] = nn.Flatten()
    features = count_features(nn.Sequential(layers), shape)
    layers["fc3"], layers["relu3"] = draw(nn.Linear(features, hidden), final), nn.ReLU()
    if dropout:
        layers["drop3"] = nn.Dropout(0.0)
    layers["fc4"] = draw(nn.Linear(hidden, 10), final)
    return nn.Sequential(layers)
