"""Copies of a unit: same layer types, out -> out channels, stride 1, same padding, freshly initialised."""

import copy
import re

import torch
from torch import nn

from depthprobe.errors import EditError
from depthprobe.graph.trace import Traced
from depthprobe.graph.units import Unit, module_of

INITS = ("default", "copy", "identity", "xavier", "he", "gaussian:STD")
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def copy_of_unit(traced: Traced, unit: Unit, kernel: int | None, init: str) -> nn.Sequential:
    """A new unit that fits right after `unit`: its output shape in and out.

    Pooling inside the unit is left out. Weights are drawn from torch's global generator.
    """
    layers: list[nn.Module] = []
    by_name = {node.name: node for node in traced.graph.nodes}
    for name, role in zip(unit.nodes, unit.roles, strict=True):
        module = module_of(traced, by_name[name])
        if module is None or role == "pooling":
            continue
        if role in ("conv", "linear"):
            layers.append(_weight_layer(module, unit, kernel))
            _initialise(layers[-1], module, init, unit)
        else:
            layers.append(_follower(module, unit))
    block = nn.Sequential(*layers)
    for parameter in block.parameters():
        parameter.requires_grad_(True)
    weight = next(iter(unit_parameters(traced, unit)), None)
    if weight is not None:
        block.to(device=weight.device, dtype=weight.dtype)
    return block.train(traced.original.training)


def unit_parameters(traced: Traced, unit: Unit) -> list[nn.Parameter]:
    """The parameters of a unit's weight layer."""
    return list(traced.root.get_submodule(unit.name).parameters(recurse=False))


def _weight_layer(layer: nn.Module, unit: Unit, kernel: int | None) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.out_features, layer.out_features, bias=layer.bias is not None)
    if not isinstance(layer, _CONVS):
        raise EditError("cannot copy this layer", where=unit.name, found=type(layer).__name__)
    kind = next(base for base in _CONVS if isinstance(layer, base))
    size = layer.kernel_size if kernel is None else (kernel,) * len(layer.kernel_size)
    reach = [d * (k - 1) for d, k in zip(layer.dilation, size, strict=True)]
    padding = "same" if any(r % 2 for r in reach) else tuple(r // 2 for r in reach)
    depthwise = layer.groups == layer.in_channels
    return kind(
        layer.out_channels,
        layer.out_channels,
        size,  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        dilation=layer.dilation,  # type: ignore[arg-type]
        groups=layer.out_channels if depthwise and layer.groups > 1 else layer.groups,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
    )


def _follower(module: nn.Module, unit: Unit) -> nn.Module:
    """Norm, activation or dropout of the copy: a deep copy, reset; a LayerNorm takes the unit's output size."""
    if isinstance(module, nn.LayerNorm):
        shape = unit.out_shape[-len(module.normalized_shape) :]
        return nn.LayerNorm(shape, module.eps, module.elementwise_affine, module.bias is not None)
    new = copy.deepcopy(module)
    for part in new.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
        if hasattr(part, "inplace"):
            part.inplace = False
    return new


def _initialise(new: nn.Module, old: nn.Module, init: str, unit: Unit) -> None:
    weight, bias = new.weight, getattr(new, "bias", None)
    assert isinstance(weight, torch.Tensor)
    if init == "default":
        return
    if init == "copy":
        source = old.weight
        if not isinstance(source, torch.Tensor) or source.shape != weight.shape:
            raise EditError(
                "init 'copy' needs equal shapes", where=unit.name, expected=str(tuple(weight.shape)),
                found=str(tuple(getattr(source, "shape", ()))), hint="--init identity",
            )  # fmt: skip
        new.load_state_dict(old.state_dict())
        return
    if bias is not None:
        nn.init.zeros_(bias)  # type: ignore[arg-type]
    gaussian = re.fullmatch(r"gaussian:([0-9.eE+-]+)", init)
    if init == "identity":
        nn.init.eye_(weight) if isinstance(new, nn.Linear) else nn.init.dirac_(weight, groups=int(new.groups))  # type: ignore[arg-type]
    elif init == "xavier":
        nn.init.xavier_uniform_(weight)
    elif init == "he":
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    elif gaussian and (std := float(gaussian[1])) > 0.0:
        nn.init.normal_(weight, 0.0, std)
    else:
        raise EditError(f"init {init!r} is not known", where=unit.name, expected=" | ".join(INITS))
