"""Weight files: read without executing anything, checked, and loaded into the network they belong to."""

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from depthprobe.counting import number_of
from depthprobe.errors import ModelError

NAMED = 10
_KINDS = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
)  # fmt: skip
_NESTED = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights
AGAIN = "where the model is: torch.save(model.state_dict(), 'weights.pt')"
_WRAPPERS = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile


@dataclass(frozen=True, eq=False, kw_only=True)
class Weights:
    """What a weight file holds. about: what depthprobe wrote beside the weights, or None; sha256: of the file."""

    path: Path
    tensors: dict[str, Tensor]
    about: dict[str, Any] | None
    sha256: str


def read_weights(path: Path) -> Weights:
    """Read a state dict: of torch.save (tensors and plain values only), or a safetensors file.

    Raises ModelError for a file that is missing, empty, damaged, holds code, holds no tensors, or weights that are not
    finite.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        hint = str(path / "model.pt") if (path / "model.pt").is_file() else "ls runs/*/model.pt"
        raise ModelError("there is no checkpoint", where=str(path), found=found, hint=hint)
    data = path.read_bytes()
    if not data:
        raise ModelError("the checkpoint is empty", where=str(path), found="0 bytes", hint=AGAIN)
    document, about = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path, data)
    tensors = _unwrapped({str(name): value for name, value in document.items() if isinstance(value, Tensor)})
    if not tensors:
        keys = ", ".join(str(key) for key in list(document)[:NAMED]) or "nothing"
        raise ModelError(
            "the checkpoint holds no weights", where=str(path), expected="a state dict", found=keys, hint=AGAIN
        )
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.dtype not in _KINDS:
            raise ModelError(
                "the checkpoint holds a tensor that is no plain one", where=str(path), found=f"{name}: {tensor.dtype}",
                expected="dense numbers: float64, 32, 16, bfloat16, integers or bool",
            )  # fmt: skip
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError("the checkpoint holds weights that are not finite", where=str(path), found=name)
    return Weights(path=path.absolute(), tensors=tensors, about=about, sha256=hashlib.sha256(data).hexdigest())


def load_weights(network: nn.Module, weights: Weights) -> nn.Module:
    """Load strictly; returns the network. What is frozen stays frozen.

    Raises ModelError when a name is missing, left over or of another shape: ten of them are listed, and how many there
    are.
    """
    problems = _differences(network.state_dict(), weights.tensors)
    if problems:
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ModelError(
            f"the checkpoint does not fit the model: {number_of(len(problems), 'name differs', 'names differ')}",
            where=str(weights.path),
            expected="every weight of the model, and no other",
            found="; ".join(problems[:NAMED]) + more,
            hint=_say_prefix(network.state_dict(), weights.tensors) or "check the model and its --model-args",
        )
    network.load_state_dict(weights.tensors)
    return network


def _say_prefix(wanted: Mapping[str, Any], found: Mapping[str, Tensor]) -> str | None:
    """What to do when all names are right but for what stands before them."""
    first = next(iter(wanted), "")
    ends = [name for name in found if name.endswith(f".{first}")]
    prefix = ends[0].removesuffix(first) if ends else None
    if prefix is None or set(found) != {prefix + name for name in wanted}:
        return None
    return f"the model is {prefix.removesuffix('.')!r} of what was saved: torch.save(that.state_dict(), ...)"


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Tensor]) -> list[str]:
    """What does not fit, in the model's order, then what is left over."""
    said = [f"{name} is missing" for name in wanted if name not in found]
    said += [
        f"{name} is {tuple(found[name].shape)}, the model's {tuple(value.shape)}"
        for name, value in wanted.items()
        if isinstance(value, Tensor) and name in found and found[name].shape != value.shape
    ]
    return said + [f"{name} is not in the model" for name in found if name not in wanted]


def load_plain(data: bytes) -> Any:
    """What torch.save wrote: tensors and plain values; nothing in it is executed.

    The checksums in the file are compared, which torch.load leaves out. Raises pickle.UnpicklingError for more than
    plain values, ValueError or one of a dozen others for damaged bytes.
    """
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} is not what was written")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _read_torch(path: Path, data: bytes) -> tuple[Mapping[Any, Any], dict[str, Any] | None]:
    try:
        document = load_plain(data)
    except pickle.UnpicklingError as error:
        raise ModelError(
            "the checkpoint holds more than weights, or is none; it was not executed",
            where=str(path),
            expected="tensors and plain values: torch.save(model.state_dict(), ...)",
            found=str(error).split(". ")[0],
            hint="save the state dict where you trust the file, and give that",
        ) from error
    except Exception as error:  # torch raises a dozen kinds for damaged files
        raise _damaged(path, error) from error
    if not isinstance(document, Mapping):
        raise ModelError("the checkpoint is no state dict", where=str(path), found=type(document).__name__, hint=AGAIN)
    about = document.get("depthprobe")
    for key in _NESTED:
        if isinstance(document.get(key), Mapping):
            return document[key], about if isinstance(about, dict) else None
    return document, about if isinstance(about, dict) else None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            about = json.loads((file.metadata() or {}).get("depthprobe", "null"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return tensors, about if isinstance(about, dict) else None


def _damaged(path: Path, error: Exception) -> ModelError:
    said = (str(error) or type(error).__name__).split(". ")[0]
    return ModelError(
        "the checkpoint is damaged", where=str(path), expected="a file of torch.save, or .safetensors",
        found=f"{path.stat().st_size:,} bytes ({said})",
        hint="copy the file anew from where it is whole, or save it again",
    )  # fmt: skip


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what a wrapper put before all of them."""
    for prefix in _WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _unwrapped({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors
