"""A network that trains in a second, and studies over it."""

import pytest

NET = """
from torch import nn

model = nn.Sequential(
    nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10),
)
"""


@pytest.fixture(scope="session")
def net_text():
    return NET


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def make_setup(net, tmp_path):
    """make_setup(tune settings, grow=..., train=..., changes=...) -> a TuneSetup, nothing created."""
    from depthprobe.config import GrowConfig, TrainConfig
    from depthprobe.inputs import open_model
    from depthprobe.probes.setup import DataSource
    from depthprobe.tuning.config import TuneConfig
    from depthprobe.tuning.setup import set_up_tuning
    from depthprobe.tuning.storage import local_url

    def make(grow=None, train=None, changes=None, **tune):
        return set_up_tuning(
            open_model(str(net)),
            DataSource(spec="digits", limit_train=400),
            GrowConfig(**{"copies": 3, **(grow or {})}),
            TrainConfig(**{"steps": 40, "lr": 0.05, **(train or {})}),
            TuneConfig(**{"trials": 4, "confirm_seeds": 1, **tune}),
            changes or {},
            study="study",
            storage=local_url(tmp_path),
        )

    return make
