"""ResNet-20 for small images (He et al. 2016, section 4.2): three stages of three residual blocks, 16, 32, 64 channels.

Run: depthprobe train benchmarks/resnet20_model.py:resnet20 --dataset cifar10
"""

import torch
from torch import nn


def conv(before: int, width: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)


class Block(nn.Module):
    """Two convs beside a shortcut; where the shape changes the shortcut is a conv of one pixel."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(before, width, stride), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = conv(width, width, 1), nn.BatchNorm2d(width)
        changes = stride > 1 or before != width
        self.shortcut = (
            nn.Sequential(nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))
            if changes
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """(B, 3, H, W) -> (B, classes)."""

    def __init__(self, blocks: int = 3, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, width, 1), nn.BatchNorm2d(width)
        stages, before = [], width
        for stage in range(3):
            for rank in range(blocks):
                now = width * 2**stage
                stages.append(Block(before, now, 2 if stage and not rank else 1))
                before = now
        self.blocks = nn.Sequential(*stages)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(before, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(torch.relu(self.norm(self.stem(x))))
        return self.head(torch.flatten(self.pool(x), 1))


def resnet20() -> ResNet:
    """272,474 parameters with ten classes (the paper's shortcuts have none: 269,722)."""
    return ResNet()
