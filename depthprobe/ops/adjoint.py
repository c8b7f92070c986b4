"""The transpose of `reference.resize`, written out: an operator's own backward runs where autograd does not record."""

from collections.abc import Sequence

import torch
from torch import Tensor

aten = torch.ops.aten


def resize_adjoint(grad: Tensor, shape: Sequence[int], choice: Tensor) -> Tensor:
    """grad (b, c, *size) to an input's `shape` (B, C, *spatial), b <= B; zero for what was not used."""
    batch, channels = grad.shape[:2]
    here, spatial = min(channels, shape[1]), tuple(shape[2:])
    used = grad.narrow(1, 0, here).contiguous()
    if channels > here:
        used = used.clone().index_add_(1, choice[here:channels] % here, grad.narrow(1, here, channels - here))
    if spatial:
        used = _spatial_adjoint(used, spatial)
    if tuple(used.shape) == tuple(shape):
        return used
    out = used.new_zeros(tuple(shape))
    out[:batch, :here] = used
    return out


def _spatial_adjoint(grad: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """Transposes of bicubic (or linear) and of area, in the order opposite to the forward pass."""
    size = tuple(grad.shape[2:])
    down = tuple(min(a, b) for a, b in zip(spatial, size, strict=True))
    if grad.numel() == 0:
        return grad.new_zeros((*grad.shape[:2], *spatial))
    if down != size:
        grad = _up_adjoint(grad, size, down)
    if down != spatial:
        grad = _area_adjoint(grad, spatial)
    return grad


def _up_adjoint(grad: Tensor, size: tuple[int, ...], down: tuple[int, ...]) -> Tensor:
    shape, none = (*grad.shape[:2], *down), [None] * len(size)
    backward = {
        1: aten.upsample_linear1d_backward,
        2: aten.upsample_bicubic2d_backward,
        3: aten.upsample_trilinear3d_backward,
    }[len(size)]
    result: Tensor = backward(grad, size, shape, False, *none)
    return result


def _area_adjoint(grad: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """Only the shape of the pooled input matters; one dimension is pooled as two."""
    if len(spatial) == 1:
        return _area_adjoint(grad.unsqueeze(2), (1, *spatial)).squeeze(2)
    backward = aten._adaptive_avg_pool2d_backward if len(spatial) == 2 else aten._adaptive_avg_pool3d_backward
    result: Tensor = backward(grad, grad.new_empty((*grad.shape[:2], *spatial)))
    return result
