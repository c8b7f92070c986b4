"""A small network with everything that has a state: BatchNorm, dropout, two sites."""

import pytest

NORMED = """
from torch import nn

model = nn.Sequential(
    nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1), nn.MaxPool2d(2),
    nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
    nn.Flatten(), nn.Linear(96, 10),
)
"""


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NORMED)
    return path
