"""The files of an export: made in a folder beside their place, moved when all of them are there."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from depthprobe.errors import ConfigError, DepthprobeError
from depthprobe.exporting.code import Scale, export_code
from depthprobe.exporting.onnx_file import write_onnx

SUFFIXES = {"pt": ".pt", "safetensors": ".safetensors", "code": ".py", "onnx": ".onnx"}
FORMATS = tuple(SUFFIXES)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported. state: the weights by name; about: what model.pt says about itself, plain values; build: the
    network with these weights and an example input, called for `code` and `onnx` only.
    """

    state: Mapping[str, Tensor]
    about: Mapping[str, Any]
    build: Callable[[], tuple[nn.Module, Any]]
    title: str | None = None


def write_export(source: Source, kind: str, out: Path) -> list[Path]:
    """Write `out` (and for `code` the weights beside it); returns the files.

    kind: one of FORMATS. Raises ConfigError for a file that exists, cannot be written or does not suit the format,
    GraphError for a network that the format cannot hold, ModelError when a package is missing; nothing is left then.
    """
    check_export(kind, out)
    try:
        staged = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ConfigError("the file cannot be written", where=str(out), found=error.strerror) from error
    try:
        _WRITERS[kind](source, staged / out.name)
        written = sorted(staged.iterdir(), key=lambda path: (path.name == out.name, path.name))  # what was named: last
        for path in written:
            _sync(path)
        for path in written:
            path.replace(out.parent / path.name)
    except OSError as error:
        raise DepthprobeError("the file cannot be written", where=str(out), found=error.strerror) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return [out, *(out.parent / path.name for path in written if path.name != out.name)]


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def check_export(kind: str, out: Path) -> None:
    """Raise ConfigError for a format or a file that will not do."""
    if kind not in FORMATS:
        raise ConfigError(f"unknown format {kind!r}", where="--format", expected=" | ".join(FORMATS))
    if kind == "code" and (out.suffix != ".py" or not out.stem.isidentifier()):
        raise ConfigError(
            "the code needs a file that Python can import", where="--out", expected="name.py", found=out.name,
            hint="--out network.py",
        )  # fmt: skip
    files = [out, out.with_suffix(".safetensors")] if kind == "code" else [out]
    for path in files:
        if path.exists():
            raise ConfigError("the file exists", where=str(path), expected="a new file: nothing is overwritten")
    if not out.absolute().parent.is_dir():
        raise ConfigError("no such folder", where=str(out.parent), expected="a folder that exists", found=str(out))


def _write_pt(source: Source, path: Path) -> None:
    torch.save({"state_dict": dict(source.state), "depthprobe": dict(source.about)}, path)


def _write_safetensors(source: Source, path: Path) -> None:
    tensors = {name: value.detach().clone().contiguous() for name, value in source.state.items()}
    path.write_bytes(save(tensors, metadata={"format": "pt", "depthprobe": json.dumps(dict(source.about))}))


def _write_code(source: Source, path: Path) -> None:
    made = export_code(*source.build(), module=path.stem, title=source.title, scale=_scale(source.about))
    path.with_suffix(".safetensors").write_bytes(save(made.weights, metadata={"format": "pt"}))
    path.write_text(made.text, encoding="utf-8")


def _scale(about: Mapping[str, Any]) -> Scale | None:
    """What the inputs were normalised by; None for token ids, and where an older model.pt does not say it."""
    known = about.get("input") or {}
    return Scale(tuple(known["mean"]), tuple(known["std"])) if known.get("mean") and known.get("std") else None


def _write_onnx(source: Source, path: Path) -> None:
    write_onnx(*source.build(), path)


_WRITERS: dict[str, Callable[[Source, Path], None]] = {
    "pt": _write_pt,
    "safetensors": _write_safetensors,
    "code": _write_code,
    "onnx": _write_onnx,
}
