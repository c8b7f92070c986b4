"""Loading the CUDA kernels: at the first CUDA tensor, from the cache only, never by compiling.

DEPTHPROBE_OPS=auto (default): kernels where they are built, else one warning and plain PyTorch; reference: plain
PyTorch; cuda: kernels or an error.
"""

import os
import warnings

import torch

from depthprobe.errors import ConfigError, KernelError
from depthprobe.ops.cache import Build, builds, cuda_version

MODES = ("auto", "reference", "cuda")
HINT = "depthprobe ext build"
_loaded: list[Build] = []
_refusals: dict[int, str | None] = {}


def ops_mode() -> str:
    """DEPTHPROBE_OPS, checked."""
    mode = os.environ.get("DEPTHPROBE_OPS") or "auto"
    if mode not in MODES:
        raise ConfigError("no such choice of operators", where="DEPTHPROBE_OPS", expected=", ".join(MODES), found=mode)
    return mode


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def kernels_for(index: int) -> bool:
    """Whether the kernels run on CUDA device `index`; tried once, warned once.

    Raises `KernelError` when DEPTHPROBE_OPS=cuda and they do not.
    """
    mode = ops_mode()
    if mode == "reference":
        return False
    if index not in _refusals:
        _refusals[index] = refusal = load_kernels(torch.cuda.get_device_capability(index))
        if refusal is not None and mode == "auto":
            warnings.warn(f"CUDA kernels are not in use: {refusal}; plain PyTorch runs. Try: {HINT}", stacklevel=4)
    refusal = _refusals[index]
    if refusal is not None and mode == "cuda":
        raise KernelError("the CUDA kernels were demanded and are not there", where="DEPTHPROBE_OPS=cuda",
                          expected="kernels built for this device", found=refusal, hint=HINT)  # fmt: skip
    return refusal is None


def load_kernels(capability: tuple[int, int]) -> str | None:
    """Load a sound build for a device of this compute capability; returns why there is none, or None."""
    if any(build.covers(capability) for build in _loaded):
        return None
    if _loaded:  # a second library would register the same operators again
        return f"the library in use was built for {', '.join(_loaded[0].archs)}, the device is {arch_of(capability)}"
    fitting = [build for build in builds() if build.covers(capability)]
    for build in fitting:
        if build.problem is None:
            return _load(build)
    if fitting:
        return f"{fitting[0].problem} ({fitting[0].folder})"
    return f"none are built for {arch_of(capability)}, torch {torch.__version__}, CUDA {cuda_version()}"


def _load(build: Build) -> str | None:
    try:
        torch.ops.load_library(str(build.library))  # type: ignore[no-untyped-call]
    except OSError as error:
        return f"{build.library} does not load: {' '.join(str(error.__cause__ or error).split())}"
    _loaded.append(build)
    return None


def arch_of(capability: tuple[int, int]) -> str:
    """(9, 0) as sm_90."""
    return f"sm_{capability[0]}{capability[1]}"


def loaded() -> Build | None:
    """The build in use in this process, if any."""
    return _loaded[0] if _loaded else None
