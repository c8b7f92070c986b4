"""Computing only the last channels of a conv or linear unit: what makes channel granularity cost nothing."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_BY_CHANNEL = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Identity,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
)  # fmt: skip
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)

Step = Callable[[Tensor, int], Tensor]


def by_channels(unit: nn.Module, ndim: int) -> Step | None:
    """A function `(x, k) -> channels k: of unit(x)` that computes only those, or None when channels are coupled.

    unit: a Sequential of one conv or linear layer followed by BatchNorm, element-wise or pooling layers.
    ndim: dimensions of its input; a linear layer's channels come second only in (B, features).
    """
    layers = list(unit) if type(unit) is nn.Sequential else [unit]  # a subclass may do more than its layers
    first = _first(layers[0], ndim) if layers else None
    later = [_later(layer, ndim) for layer in layers[1:]]
    if first is None or None in later:
        return None
    if any(_has_hooks(layer) for layer in (unit, *layers)):
        return lambda x, k: unit(x)[:, k:]
    steps = [first, *(step for step in later if step is not None)]

    def run(x: Tensor, k: int) -> Tensor:
        for step in steps:
            x = step(x, k)
        return x

    return run


def _has_hooks(layer: nn.Module) -> bool:
    """Slicing goes past __call__: a hook must see the whole layer, and must not change what is mixed."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)


def _first(layer: nn.Module, ndim: int) -> Step | None:
    if type(layer) is nn.Linear and ndim == 2:
        return lambda x, k: F.linear(x, layer.weight[k:], None if layer.bias is None else layer.bias[k:])
    if type(layer) in _CONVS and layer.groups == 1:
        conv: nn.Conv2d = layer  # type: ignore[assignment]
        return lambda x, k: conv._conv_forward(x, conv.weight[k:], None if conv.bias is None else conv.bias[k:])
    return None


def _later(layer: nn.Module, ndim: int) -> Step | None:
    if type(layer) in _BY_CHANNEL or (type(layer) in _POOLS and ndim > 2):
        return lambda x, k: layer(x)
    if type(layer) is nn.PReLU:
        return lambda x, k: F.prelu(x, layer.weight if layer.num_parameters == 1 else layer.weight[k:])
    if type(layer) in _NORMS:
        norm: nn.BatchNorm2d = layer  # type: ignore[assignment]
        return lambda x, k: _batch_norm(norm, x, k)
    return None


def _batch_norm(norm: nn.BatchNorm2d, x: Tensor, k: int) -> Tensor:
    """BatchNorm of channels k: only; running statistics are views, so updates land in the module's buffers."""
    batch_statistics = norm.training or norm.running_mean is None
    momentum = 0.0 if norm.momentum is None else norm.momentum
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
    return F.batch_norm(
        x,
        None if norm.running_mean is None else norm.running_mean[k:],
        None if norm.running_var is None else norm.running_var[k:],
        None if norm.weight is None else norm.weight[k:],
        None if norm.bias is None else norm.bias[k:],
        batch_statistics,
        momentum,
        norm.eps,
    )
