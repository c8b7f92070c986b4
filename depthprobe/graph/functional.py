"""Functional calls in `forward` as the modules they stand for: F.relu -> nn.ReLU, F.max_pool2d -> nn.MaxPool2d."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

_SAME_ARGUMENTS: dict[Any, type[nn.Module]] = {
    F.relu: nn.ReLU, F.relu_: nn.ReLU, torch.relu: nn.ReLU, torch.relu_: nn.ReLU, "relu": nn.ReLU, "relu_": nn.ReLU,
    F.relu6: nn.ReLU6, F.leaky_relu: nn.LeakyReLU, F.elu: nn.ELU, F.selu: nn.SELU, torch.selu: nn.SELU,
    F.celu: nn.CELU, F.gelu: nn.GELU, F.silu: nn.SiLU, F.mish: nn.Mish, F.hardtanh: nn.Hardtanh,
    F.hardswish: nn.Hardswish, F.hardsigmoid: nn.Hardsigmoid, F.softplus: nn.Softplus, F.softsign: nn.Softsign,
    F.logsigmoid: nn.LogSigmoid, F.tanh: nn.Tanh, torch.tanh: nn.Tanh, "tanh": nn.Tanh,
    F.sigmoid: nn.Sigmoid, torch.sigmoid: nn.Sigmoid, "sigmoid": nn.Sigmoid,
    F.max_pool1d: nn.MaxPool1d, F.max_pool2d: nn.MaxPool2d, F.max_pool3d: nn.MaxPool3d,
    F.avg_pool1d: nn.AvgPool1d, F.avg_pool2d: nn.AvgPool2d, F.avg_pool3d: nn.AvgPool3d,
    torch.max_pool1d: nn.MaxPool1d, torch.max_pool2d: nn.MaxPool2d, torch.max_pool3d: nn.MaxPool3d,
    F.dropout: nn.Dropout, F.dropout1d: nn.Dropout1d, F.dropout2d: nn.Dropout2d, F.dropout3d: nn.Dropout3d,
    F.alpha_dropout: nn.AlphaDropout, F.feature_alpha_dropout: nn.FeatureAlphaDropout,
}  # fmt: skip

_POSITIONS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.LeakyReLU: ("negative_slope", "inplace"),
    nn.ELU: ("alpha", "inplace"),
    nn.CELU: ("alpha", "inplace"),
    nn.Hardtanh: ("min_val", "max_val", "inplace"),
    nn.Softplus: ("beta", "threshold"),
    nn.MaxPool1d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    nn.MaxPool3d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    nn.AvgPool1d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    nn.AvgPool3d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    nn.Dropout: ("p", "training", "inplace"),
    nn.Dropout1d: ("p", "training", "inplace"),
    nn.Dropout2d: ("p", "training", "inplace"),
    nn.Dropout3d: ("p", "training", "inplace"),
    nn.AlphaDropout: ("p", "training", "inplace"),
    nn.FeatureAlphaDropout: ("p", "training", "inplace"),
}

Target = Callable[..., Any] | str


def as_module(node: fx.Node) -> nn.Module | None:
    """The module that a functional node stands for, or None when it is no such call.

    The first argument must be the node's only input; in-place forms become out of place (a bypass may still
    read the input).
    """
    if node.op not in ("call_function", "call_method"):
        return None
    return _module(node.target, node.args[1:], node.kwargs)


def module_for(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> nn.Module | None:
    """The same for a call as torch announces it. args: behind the first, the tensor that goes in."""
    name = str(getattr(function, "__name__", ""))
    return _module(name if getattr(torch.Tensor, name, None) is function else function, args, kwargs)


def is_dropping(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """What a call of a functional dropout says of `training`. args: behind the first."""
    return bool(args[1] if len(args) > 1 else kwargs.get("training", True))


def _module(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> nn.Module | None:
    kind = _SAME_ARGUMENTS.get(target) if isinstance(target, Hashable) else None
    if kind is None:
        return None
    names = _POSITIONS.get(kind, ("inplace",))
    if len(args) > len(names):
        return None
    settings = {**dict(zip(names, args, strict=False)), **kwargs}
    for ignored in ("input", "self", "inplace", "training"):
        settings.pop(ignored, None)
    if any(isinstance(value, (fx.Node, torch.Tensor)) for value in settings.values()) or settings.get("return_indices"):
        return None
    return kind(**settings)
