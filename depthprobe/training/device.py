"""Device and precision, by accelerate."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from depthprobe.errors import ConfigError


def open_device(device: str, precision: str, threads: int = 0) -> Accelerator:
    """An Accelerator for `auto | cpu | cuda | mps` and `no | bf16 | fp16`. Raises ConfigError when it is not there.

    precision: `fp16` on a GPU only. threads: of torch on the CPU; 0 leaves torch's own choice.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device != "auto" and not have.get(device, False):
        raise ConfigError(
            f"device {device!r} is not available" if device in have else f"unknown device {device!r}",
            where="--device",
            expected="auto, " + ", ".join(name for name, there in have.items() if there),
            hint="depthprobe doctor shows what this machine has",
        )
    if precision == "fp16" and (device in ("cpu", "mps") or not have["cuda"]):
        raise ConfigError(
            "fp16 needs a CUDA device: elsewhere it is slower than float32, and overflows sooner than bf16",
            where="--precision",
            expected="no or bf16 here",
            found=f"fp16 on {'cpu' if device == 'auto' else device}",
            hint="--precision bf16",
        )
    if threads:
        torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision=precision)
