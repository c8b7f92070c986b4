"""A checkpoint that a network starts from: its weights, read without executing anything, and fitted name by name."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from depthprobe.errors import ModelError

MOST_NAMES = 10


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
        state = _read(self.path, self.sha256)
        problems = _differences(network.state_dict(), state)
        if problems:
            shown = "; ".join(problems[:MOST_NAMES])
            more = f" and {len(problems) - MOST_NAMES} more" if len(problems) > MOST_NAMES else ""
            raise ModelError(
                f"the checkpoint does not fit the model: {len(problems)} names differ",
                where=self.path,
                expected="every weight of the model, and no other",
                found=shown + more,
            )
        network.load_state_dict(state)

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
    path = path.expanduser().resolve()
    found = Checkpoint(str(path), hashlib.sha256(_bytes(path)).hexdigest())
    _read(found.path, found.sha256)
    return found


@functools.lru_cache(maxsize=1)
def _read(path: str, sha256: str) -> dict[str, Tensor]:
    """The weights by name; read once for all the networks that start from them."""
    content = _bytes(Path(path))
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise ModelError(
            "the checkpoint has changed since it was opened", where=path, expected=f"sha256 {sha256[:12]}",
            found=f"sha256 {digest[:12]}", hint="put the old file back, or start a new run",
        )  # fmt: skip
    try:
        payload: Any = load(content) if path.endswith(".safetensors") else _unpickle(path)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        raise _no_weights(path, str(error)) from error
    state = payload.get("state_dict", payload) if isinstance(payload, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise _no_weights(path, type(payload).__name__)
    return dict(state)


def _unpickle(path: str) -> object:
    import pickle

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            "the checkpoint cannot be read", where=str(path), found=error.strerror, hint="--checkpoint weights.pt"
        ) from error


def _no_weights(path: str, found: str) -> ModelError:
    return ModelError(
        "not a file of weights", where=path, found=found,
        expected="a state dict: .safetensors, or saved with torch.save(net.state_dict(), ...)",
    )  # fmt: skip


def _differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """What does not fit, in the model's order, then what is left over."""
    said = [f"{name} is missing" for name in wanted if name not in found]
    said += [
        f"{name} is {_shape(found[name])}, the model's {_shape(wanted[name])}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    return said + [f"{name} is not the model's" for name in found if name not in wanted]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
