"""Building the kernels with nvcc: one library, checked, then moved into the cache in one step, under a lock."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from depthprobe.errors import ConfigError, KernelError
from depthprobe.ops.cache import FLAGS, LIBRARY, MANIFEST, SOURCES, Build, folder_for, inspect_build, manifest_of
from depthprobe.ops.kernels import arch_of


def find_nvcc() -> Path | None:
    """nvcc of CUDA_HOME, else the one on PATH."""
    home = os.environ.get("CUDA_HOME")
    own = Path(home) / "bin" / "nvcc" if home else None
    if own is not None and own.is_file():
        return own
    found = shutil.which("nvcc")
    return Path(found) if found else None


def nvcc_version(nvcc: Path) -> str:
    """The release that nvcc names, or "unknown"."""
    text = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"release [\d.]+, V([\d.]+)", text)
    return found.group(1) if found else "unknown"


def archs_here() -> tuple[str, ...]:
    """Architectures of the devices at hand (initialises CUDA); raises `KernelError` where there is none."""
    if torch.version.cuda is None or not torch.cuda.is_available():
        raise KernelError(
            "there is no CUDA device to build for",
            expected="a torch with CUDA and a GPU, or architectures to build for",
            found=f"torch {torch.__version__}",
            hint="depthprobe ext build --arch sm_90",
        )
    devices = range(torch.cuda.device_count())
    return tuple(sorted({arch_of(torch.cuda.get_device_capability(index)) for index in devices}))


def parse_archs(text: str) -> tuple[str, ...]:
    """The architectures in a text such as sm_80,sm_90, sorted; raises `ConfigError` where it is not such a text."""
    archs = tuple(sorted({part.strip() for part in text.split(",") if part.strip()}))
    if not archs or not all(re.fullmatch(r"sm_\d{2,3}[af]?", arch) for arch in archs):
        raise ConfigError("not GPU architectures", where="--arch", expected="names such as sm_80,sm_90", found=text)
    return archs


def build_command(nvcc: Path, archs: tuple[str, ...], target: Path) -> list[str]:
    """What compiles all .cu files into `target` for `archs`; the CUDA runtime is linked in, torch's may be another."""
    home = Path(torch.__file__).parent
    targets = [f"-gencode=arch={arch.replace('sm_', 'compute_')},code={arch}" for arch in archs]
    names = ("torch_cpu", "torch_cuda", "c10")
    libraries = [f"-l{name}" for name in names if (home / "lib" / f"lib{name}.so").exists()]
    sources = [str(path) for path in sorted(SOURCES.glob("*.cu"))]
    linking = ["-shared", "-cudart", "static", f"-L{home / 'lib'}", *libraries, "-o", str(target)]
    return [str(nvcc), *FLAGS, *targets, "-isystem", str(home / "include"), *sources, *linking]


def build_kernels(archs: tuple[str, ...]) -> tuple[Build, str | None]:
    """The build for `archs`, made unless a sound one is there; beside it what was wrong with the one found, if any.

    Raises `KernelError` where nvcc is missing or fails. A second process waits, and then finds the build made.
    """
    folder = folder_for(archs)
    with _locked(folder.parent):
        found = inspect_build(folder, archs)
        if found.problem is None:
            return found, None
        problem = found.problem if folder.exists() else None
        _replace(folder, _compile(folder.parent, archs))
        return inspect_build(folder, archs), problem


def _compile(home: Path, archs: tuple[str, ...]) -> Path:
    """A new folder beside the cache's own with library and manifest, both on disk."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise KernelError(
            "nvcc was not found",
            expected="CUDA's compiler on PATH or in CUDA_HOME",
            hint="export CUDA_HOME=/usr/local/cuda",
        )
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=home))
    try:
        _run_nvcc(build_command(nvcc, archs, staging / LIBRARY))
        manifest = manifest_of(staging / LIBRARY, archs, f"nvcc {nvcc_version(nvcc)}")
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for name in (LIBRARY, MANIFEST):
            with (staging / name).open("rb") as file:
                os.fsync(file.fileno())
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return staging


def _run_nvcc(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "error" in line] or ["no message"]
        raise KernelError(
            "the kernels do not compile", where=command[0], expected="exit code 0",
            found=f"{done.returncode}: {lines[0]}",
            hint="report it with the output of: depthprobe doctor",
        )  # fmt: skip


def _replace(folder: Path, staging: Path) -> None:
    """`staging` in the place of `folder`; a process that has loaded the old library keeps its copy."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
        folder.rename(old / folder.name)
        shutil.rmtree(old, ignore_errors=True)
    staging.rename(folder)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One builder at a time. The kernel of the OS frees the lock of a process that died: nothing to take over."""
    import fcntl

    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
