"""VGG of the paper's Table 7: 8 layers, and 16.

Look at it: depthprobe inspect examples/paper/vgg.py:vgg --input 3,224,224
"""

from collections import OrderedDict

from torch import nn

from examples.paper.alexnet import add_classifier
from examples.paper.parts import Pixels, Pool, count_features, draw

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = {8: (1, 1, 1, 1, 1), 16: (2, 2, 3, 3, 3)}
PAPER_FEATURES, PAPER_HIDDEN = 512 * 7 * 7, 4096


def vgg(
    layers: int = 16,
    divisor: int = 1,
    pools: int = 5,
    hidden: int = PAPER_HIDDEN,
    classes: int = 10,
    shape: tuple[int, int, int] = (3, 224, 224),
    init: str = "gaussian:0.01",
) -> nn.Sequential:
    """(B, *shape) -> (B, classes) logits. layers: 8 or 16; divisor: of all conv widths; pools: the first so many."""
    parts = OrderedDict[str, nn.Module](pixels=Pixels(62.0))
    channels = paper_channels = shape[0]
    for stage, (paper_width, depth) in enumerate(zip(WIDTHS, DEPTHS[layers], strict=True), 1):
        for k in range(1, depth + 1):
            conv = nn.Conv2d(channels, paper_width // divisor, 3, padding=1)
            parts[f"conv{stage}_{k}"] = draw(conv, init, 0.0, 9 * paper_channels)
            parts[f"relu{stage}_{k}"] = nn.ReLU()
            channels, paper_channels = conv.out_channels, paper_width
        if stage <= pools:
            parts[f"pool{stage}"] = Pool()
    parts["flat"] = nn.Flatten()
    features = count_features(nn.Sequential(parts), shape)
    add_classifier(parts, features, (PAPER_FEATURES, PAPER_HIDDEN), hidden, classes, (True, True), init, 0.0)
    return nn.Sequential(parts)
