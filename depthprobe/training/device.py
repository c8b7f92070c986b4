"""Device and precision, by accelerate."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from depthprobe.errors import ConfigError


def open_device(device: str, precision: str, threads: int = 0) -> Accelerator:
    """An Accelerator for `auto | cpu | cuda | mps` and `no | bf16`. Raises ConfigError when it is not there.

    threads: of torch on the CPU; 0 leaves torch's own choice.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device != "auto" and not have.get(device, False):
        raise ConfigError(
            f"device {device!r} is not available" if device in have else f"unknown device {device!r}",
            where="--device",
            expected="auto, " + ", ".join(name for name, there in have.items() if there),
            hint="depthprobe doctor shows what this machine has",
        )
    if threads:
        torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision=precision)
