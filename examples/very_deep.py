"""A plain 30-layer conv net as one base layer and 29 copies: no norm, no skips, PyTorch's default init.

Trained conventionally it stays at chance; grown it trains. Run it grown, then conventionally (--deep):
    depthprobe train examples/very_deep.py --dataset digits --copies 29 --grow --lr 0.01 --steps 3000
    depthprobe train examples/very_deep.py --dataset digits --copies 29 --deep --lr 0.01 --steps 3000
"""

from torch import nn

model = nn.Sequential(
    nn.Conv2d(1, 16, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(16 * 4 * 4, 10),
)
