"""The CIFAR-10 "quick" network that the paper expands: three conv layers with pooling, for 32x32 colour images.

Run: depthprobe grow examples/cifar_quick.py --dataset cifar10 --data-dir DATA
"""

from torch import Tensor, nn
from torch.nn import functional as F


class CifarQuick(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(width, width, kernel_size=5, padding=2)
        self.conv3 = nn.Conv2d(width, 2 * width, kernel_size=5, padding=2)
        self.fc = nn.Linear(2 * width * 4 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, 32, 32); returns (B, 10) logits."""
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.avg_pool2d(F.relu(self.conv2(x)), 2)
        x = F.avg_pool2d(F.relu(self.conv3(x)), 2)
        return self.fc(x.flatten(1))
