"""A checkpoint that a network starts from: its weights, read without executing anything, and fitted name by name."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs.weights import Weights, load_weights, read_weights


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights. path: absolute; sha256: of its bytes when it was opened."""

    path: str
    sha256: str

    def load_into(self, network: nn.Module) -> None:
        """Give `network` these weights; what is frozen stays frozen.

        Raises ModelError when the file has changed, and when a name is missing, left over or of another shape: at most
        ten of them are listed, and how many there are.
        """
        load_weights(network, _read(self.path, self.sha256))

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return {"path": self.path, "sha256": self.sha256}

    @classmethod
    def from_json(cls, record: object) -> "Checkpoint | None":
        """What `to_json` gave; None for anything else."""
        known = isinstance(record, Mapping) and {"path", "sha256"} <= set(record)
        return cls(str(record["path"]), str(record["sha256"])) if known and isinstance(record, Mapping) else None


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`: safetensors, or what torch.save wrote, a state dict or {"state_dict": ...}.

    Raises ModelError for a missing file and for one that holds no weights; no code in it runs (weights_only).
    """
    weights = read_weights(path.expanduser().resolve())
    return Checkpoint(str(weights.path), weights.sha256)


@functools.lru_cache(maxsize=1)
def _read(path: str, sha256: str) -> Weights:
    """The weights; read once for all the networks that start from them."""
    weights = read_weights(Path(path))
    if weights.sha256 != sha256:
        raise ModelError(
            "the checkpoint has changed since it was opened", where=path, expected=f"sha256 {sha256[:12]}",
            found=f"sha256 {weights.sha256[:12]}", hint="put the old file back, or start a new run",
        )  # fmt: skip
    return weights
