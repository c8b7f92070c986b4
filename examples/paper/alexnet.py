"""AlexNet of the paper's Table 5, 8 layers, and 13 with every conv layer duplicated.

Look at it: depthprobe inspect examples/paper/alexnet.py:alexnet --input 3,227,227
What the table leaves out is Caffe's: stride 4, groups in layers 2, 4 and 5, initial weights and biases, dropout.
"""

from collections import OrderedDict

from torch import nn

from examples.paper.parts import Pixels, Pool, count_features, draw

# per stage: output channels, kernel (index into `kernels`), groups, initial bias, and whether a pool follows
STAGES = ((96, 0, 1, 0.0, True), (256, 1, 2, 1.0, True), (384, 2, 1, 0.0, False), (384, 2, 2, 1.0, False),
          (256, 2, 2, 1.0, True))  # fmt: skip
PAPER_KERNELS, PAPER_FEATURES, PAPER_HIDDEN = (11, 5, 3), 256 * 7 * 7, 4096


def alexnet(
    copies: bool = True,
    divisor: int = 1,
    kernels: tuple[int, int, int] = PAPER_KERNELS,
    stride: int = 4,
    hidden: int = PAPER_HIDDEN,
    classes: int = 10,
    dropout: tuple[bool, bool] = (True, True),
    shape: tuple[int, int, int] = (3, 227, 227),
) -> nn.Sequential:
    """(B, *shape) -> (B, classes) logits. divisor: of all conv widths; dropout: in fc6, in fc7."""
    layers = OrderedDict[str, nn.Module](pixels=Pixels(62.0))
    channels = paper_channels = shape[0]
    for stage, (paper_width, size, groups, bias, pooled) in enumerate(STAGES, 1):
        width, kernel = groups * max(1, paper_width // divisor // groups), kernels[size]
        for k in (1, 2) if copies else (1,):
            step, pad = (stride, 0) if stage == k == 1 and stride > 1 else (1, kernel // 2)
            split = groups if channels % groups == 0 else 1
            conv = nn.Conv2d(channels, width, kernel, step, pad, groups=split)
            paper_fan_in = paper_channels // groups * PAPER_KERNELS[size] ** 2
            layers[f"conv{stage}_{k}"] = draw(conv, "gaussian:0.01", bias, paper_fan_in)
            layers[f"relu{stage}_{k}"] = nn.ReLU()
            channels, paper_channels = width, paper_width
        if pooled:
            layers[f"pool{stage}"] = Pool()
        if stage < 3:
            layers[f"norm{stage}"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    layers["flat"] = nn.Flatten()
    features = count_features(nn.Sequential(layers), shape)
    add_classifier(layers, features, (PAPER_FEATURES, PAPER_HIDDEN), hidden, classes, dropout, "gaussian:0.005", 1.0)
    return nn.Sequential(layers)


def add_classifier(
    layers: OrderedDict[str, nn.Module],
    features: int,
    paper: tuple[int, int],
    hidden: int,
    classes: int,
    dropout: tuple[bool, bool],
    init: str,
    bias: float,
) -> None:
    """Append fc6, fc7 and fc8 to `layers`. paper: inputs of fc6 and of the other two in the paper's network."""
    sizes = ((6, features, hidden, paper[0]), (7, hidden, hidden, paper[1]))
    for (number, inputs, outputs, fan_in), dropped in zip(sizes, dropout, strict=True):
        layers[f"fc{number}"] = draw(nn.Linear(inputs, outputs), init, bias, fan_in)
        layers[f"relu{number}"] = nn.ReLU()
        if dropped:
            layers[f"drop{number}"] = nn.Dropout(0.5)
    layers["fc8"] = draw(nn.Linear(hidden, classes), "gaussian:0.01", 0.0, paper[1])
