"""The twelve cases: three data sets times four networks, and the split that every method shares."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from depthprobe.inputs import is_small, open_dataset, open_model
from depthprobe.probes.setup import split_by_rank

DEPTHS = tuple(range(1, 9))
SEEDS = (0, 1, 2)
INITS = ("default", "identity")
STEPS = 1500
BATCH = 64
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
PILOT_DEPTH, PILOT_SEEDS = 4, (100, 101)
NETS = ("conv_gap", "conv_flat", "conv_bn", "mlp")
DATA = {
    "digits": {"spec": "digits"},
    "mnist14": {"spec": "mnist", "limit_train": 10_000, "image_size": 14},
    "cifar16": {"spec": "cifar10", "limit_train": 5_000, "image_size": 16},
}
NETS_FILE = Path(__file__).with_name("nets.py")


@dataclass(frozen=True)
class Case:
    """One data set and one network."""

    data: str
    net: str

    @property
    def name(self) -> str:
        return f"{self.data}-{self.net}"

    @property
    def augment(self) -> bool:
        """As the product chooses: colour images are flipped and cropped."""
        return self.data == "cifar16"

    def source(self, depth: int, data_dir: Path | None):
        """The model source of the probe, `depth` hidden layers."""
        shape = tuple(self.split(0, data_dir).train.x.shape[1:])
        return open_model(f"{NETS_FILE}:{self.net}", {"in_shape": shape, "depth": depth})

    def build(self, depth: int, seed: int, data_dir: Path | None) -> nn.Module:
        return self.source(depth, data_dir).build(seed)

    def split(self, seed: int, data_dir: Path | None):
        """Training, validation and test examples of one seed: folds where data are small, as the probe has them."""
        return _splits(self.data, data_dir)(seed % len(SEEDS))


CASES = tuple(Case(data, net) for data in DATA for net in NETS)


@cache
def open_data(name: str, data_dir: Path | None):
    options = dict(DATA[name])
    spec = options.pop("spec")
    return open_dataset(spec, data_dir=data_dir if spec != "digits" else None, **options)


@cache
def _splits(name: str, data_dir: Path | None):
    data = open_data(name, data_dir)
    return split_by_rank(data, 0, len(SEEDS) if is_small(data) else 1)
