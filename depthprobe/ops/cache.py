"""Where built kernels live, and whether what lies there is what was built.

`<cache>/ops/torch<version>-cuda<version>-<architectures>-<source hash>/` holds `kernels.so` and `manifest.json`. A
library is loaded only when its SHA-256 is the manifest's: loading a truncated one can end the process.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

LIBRARY, MANIFEST = "kernels.so", "manifest.json"
SOURCES = Path(__file__).parent / "csrc"
DEFINES = ("-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020a000000000000")
FLAGS = ("-std=c++17", "-O3", "-Xcompiler", "-fPIC", *DEFINES)


def cache_folder() -> Path:
    """DEPTHPROBE_CACHE, or depthprobe/ in XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("DEPTHPROBE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "depthprobe"


def source_hash() -> str:
    """Twelve hex digits of the sources and the flags they are compiled with."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def cuda_version() -> str:
    """CUDA that torch was built with, or "none"."""
    return torch.version.cuda or "none"


def folder_for(archs: tuple[str, ...]) -> Path:
    """The folder of a build for these architectures (sm_80, ...) with the torch and the sources at hand."""
    name = f"torch{torch.__version__}-cuda{cuda_version()}-{'-'.join(archs)}-{source_hash()}"
    return cache_folder() / "ops" / name


@dataclass(frozen=True, kw_only=True)
class Build:
    """A folder of the cache; `problem` says why its library is not to be loaded, None when it is sound."""

    folder: Path
    archs: tuple[str, ...]
    problem: str | None

    @property
    def library(self) -> Path:
        """The shared library."""
        return self.folder / LIBRARY

    def covers(self, capability: tuple[int, int]) -> bool:
        """Whether a device of this compute capability runs it: the same major number, at least the minor one."""
        major, minor = capability
        numbers = [int(arch.removeprefix("sm_").rstrip("af")) for arch in self.archs]
        return any(number // 10 == major and number % 10 <= minor for number in numbers)


def builds() -> tuple[Build, ...]:
    """Every build in the cache for the torch, CUDA and sources at hand, sound or not."""
    home = cache_folder() / "ops"
    start, end = f"torch{torch.__version__}-cuda{cuda_version()}-", f"-{source_hash()}"
    if not home.is_dir():
        return ()
    names = sorted(p.name for p in home.iterdir() if p.name.startswith(start) and p.name.endswith(end))
    return tuple(inspect_build(home / name, tuple(name[len(start) : -len(end)].split("-"))) for name in names)


def inspect_build(folder: Path, archs: tuple[str, ...]) -> Build:
    """The build in `folder`, its library compared with its manifest."""
    return Build(folder=folder, archs=archs, problem=_problem(folder, archs))


def _problem(folder: Path, archs: tuple[str, ...]) -> str | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        facts = {name: manifest[name] for name in ("sha256", "bytes", "torch", "cuda", "archs", "source")}
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is missing or damaged"
    here = {"torch": torch.__version__, "cuda": cuda_version(), "archs": list(archs), "source": source_hash()}
    if any(facts[name] != value for name, value in here.items()):
        return f"{MANIFEST} belongs to another build"
    library = folder / LIBRARY
    if not library.is_file():
        return f"{LIBRARY} is missing"
    if library.stat().st_size != facts["bytes"]:
        return f"{LIBRARY} has {library.stat().st_size} bytes, built were {facts['bytes']}"
    return None if sha256_of(library) == facts["sha256"] else f"{LIBRARY} is not the one that was built"


def manifest_of(library: Path, archs: tuple[str, ...], compiler: str) -> dict[str, Any]:
    """What `manifest.json` says about a library just built."""
    return {
        "schema": 1,
        "sha256": sha256_of(library),
        "bytes": library.stat().st_size,
        "torch": torch.__version__,
        "cuda": cuda_version(),
        "archs": list(archs),
        "source": source_hash(),
        "compiler": compiler,
    }


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
