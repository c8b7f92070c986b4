"""Who computes: the one place where a call goes to the kernel, to the registered operator, or to plain PyTorch.

- CUDA tensors, kernels loaded: the registered operator, which the kernels implement.
- Bernoulli under `torch.compile` without kernels: the draws, NumPy's, are an operator; what they select is traced.
- resizing under `torch.compile`: the registered operator; Inductor cannot average areas of sizes that vary (2.13).
- everything else: plain PyTorch directly. It has native autograd, the compiler fuses it, and on a CPU going through
  `torch.library` would cost more than small mixes themselves.
"""

import torch
from torch import Tensor

from depthprobe.ops.kernels import kernels_for

_KERNEL_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def by_kernel(like: Tensor, *others: Tensor) -> bool:
    """Whether the CUDA kernels take these tensors; loads them at the first CUDA tensor.

    Raises `KernelError` where DEPTHPROBE_OPS=cuda and there are none.
    """
    if not like.is_cuda or like.dtype not in _KERNEL_TYPES or any(x.dtype != like.dtype for x in others):
        return False
    return bool(kernels_for(like.device.index or 0))


def same_type(new: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider of their types: autocast casts layers, not mixes."""
    if new.dtype == old.dtype:
        return new, old
    wide = torch.promote_types(new.dtype, old.dtype)
    return new.to(wide), old.to(wide)
