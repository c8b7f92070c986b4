"""dp.grow on objects, in as many processes as torchrun starts; each writes what it was answered.

python tests/distributed/grow_in_python.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn

import depthprobe as dp
from depthprobe.errors import RunFolderError
from depthprobe.training.team import open_team

SETTINGS = {"seeds": 1, "steps": 60, "lr": 0.05, "copies": 1, "device": "cpu", "threads": 1, "tolerance": 0.02}


def network() -> nn.Module:
    """Two convolutions with BatchNorm, for digits."""
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))


def main(folder: Path) -> None:
    """Grow; only the first process has the network."""
    torch.manual_seed(0)
    result = dp.grow(network(), "digits", out=folder / "run", **SETTINGS)
    rank = open_team().rank
    try:
        held = sum(p.numel() for p in result.model.parameters())
    except RunFolderError as error:
        held = str(error)
    text = json.dumps({"recommendation": result.recommendation.to_json(), "held": held})
    (folder / f"{rank}.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
