"""Computing only the last channels of a conv or linear unit: what makes channel granularity cost nothing."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_BY_CHANNEL = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Identity,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip

Step = Callable[[Tensor, int], Tensor]


def by_channels(unit: nn.Module) -> Callable[[Tensor, int], Tensor] | None:
    """A function `(x, k) -> channels k: of unit(x)` that computes only those, or None when channels are coupled.

    unit: a Sequential of one conv or linear layer followed by BatchNorm, element-wise or pooling layers.
    """
    layers = list(unit) if isinstance(unit, nn.Sequential) else [unit]
    steps = [_first(layers[0]) if layers else None, *(_later(layer) for layer in layers[1:])]
    if not all(steps) or any(_has_hooks(layer) for layer in layers):
        return None
    found = [step for step in steps if step is not None]

    def run(x: Tensor, k: int) -> Tensor:
        for step in found:
            x = step(x, k)
        return x

    return run


def _has_hooks(layer: nn.Module) -> bool:
    """Slicing goes past __call__ and reads `weight` as it is: hooks and parametrizations need the whole layer."""
    return bool(
        layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or hasattr(layer, "parametrizations")
    )


def _first(layer: nn.Module) -> Step | None:
    if type(layer) is nn.Linear:
        return lambda x, k: F.linear(x, layer.weight[k:], None if layer.bias is None else layer.bias[k:])
    if type(layer) in _CONVS and layer.groups == 1:
        conv: nn.Conv2d = layer  # type: ignore[assignment]
        return lambda x, k: conv._conv_forward(x, conv.weight[k:], None if conv.bias is None else conv.bias[k:])
    return None


def _later(layer: nn.Module) -> Step | None:
    if type(layer) in _BY_CHANNEL:
        return lambda x, k: layer(x)
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
