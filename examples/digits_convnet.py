"""A small plain conv net for 8x8 digits, one conv layer and a global average: is it deep enough?

Run: depthprobe grow examples/digits_convnet.py --dataset digits
"""

from torch import nn

model = nn.Sequential(
    nn.Conv2d(1, 16, kernel_size=5, padding=2),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(16, 10),
)
