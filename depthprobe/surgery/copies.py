"""Copies of a unit: same layer types, out -> out channels, stride 1, same padding, freshly initialised."""

import copy

import torch
from torch import nn

from depthprobe.errors import EditError
from depthprobe.graph.trace import Traced
from depthprobe.graph.units import Unit, layers_of, tail_of

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def copy_of_unit(traced: Traced, unit: Unit, kernel: int | None, init: str) -> nn.Sequential:
    """A new unit that fits right after `unit`: its output shape in and out.

    Pooling inside the unit is left out. Layers that forward calls by itself come first: what it does behind the unit
    it does behind the copy. Weights are drawn from torch's global generator.
    """
    layers: list[nn.Module] = []
    known = list(zip(layers_of(traced, unit), unit.roles, strict=True))
    last = len(known) - tail_of(traced, unit)
    for module, role in (*known[last:], *known[:last]):
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
    weight = next(traced.root.get_submodule(unit.name).parameters())
    return block.to(device=weight.device, dtype=weight.dtype).train(traced.original.training)


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
    """Norm, activation or dropout of the copy: a deep copy, reset; a LayerNorm or RMSNorm takes the output size."""
    own = type(module) in (nn.LayerNorm, nn.RMSNorm)  # others derived from them may count their sizes otherwise
    if own and isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        shape = unit.out_shape[-len(module.normalized_shape) :]
        if isinstance(module, nn.RMSNorm):
            return nn.RMSNorm(shape, module.eps, module.elementwise_affine)
        return nn.LayerNorm(shape, module.eps, module.elementwise_affine, module.bias is not None)
    new = copy.deepcopy(module)
    for part in new.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]  # the pooling between it and what it overwrites is gone
    return new


def _initialise(new: nn.Module, old: nn.Module, init: str, unit: Unit) -> None:
    """Weights of a copy `new` of the layer `old`; `Duplicate` has checked the name of `init`."""
    if not isinstance(new, (nn.Linear, *_CONVS)) or init == "default":
        return
    if init == "copy":
        _copy_weights(new, old, unit)
        return
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    if init == "identity":
        nn.init.eye_(new.weight) if isinstance(new, nn.Linear) else _dirac(new, unit)
    elif init == "xavier":
        nn.init.xavier_uniform_(new.weight)
    elif init == "he":
        nn.init.kaiming_normal_(new.weight, nonlinearity="relu")
    else:
        nn.init.normal_(new.weight, 0.0, float(init.removeprefix("gaussian:")))


def _copy_weights(new: nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d, old: nn.Module, unit: Unit) -> None:
    source = old.weight
    if not isinstance(source, torch.Tensor) or source.shape != new.weight.shape:
        raise EditError(
            "init 'copy' needs equal shapes", where=unit.name, expected=str(tuple(new.weight.shape)),
            found=str(tuple(getattr(source, "shape", ()))), hint="--init identity",
        )  # fmt: skip
    with torch.no_grad():
        new.weight.copy_(source)
        if new.bias is not None and isinstance(old.bias, torch.Tensor):
            new.bias.copy_(old.bias)


def has_identity(layer: nn.Module, kernel: int | None = None) -> bool:
    """Whether a copy of `layer` with this kernel size can be the identity: a tap must lie on the pixel itself."""
    if not isinstance(layer, _CONVS):
        return True
    sizes = layer.kernel_size if kernel is None else (kernel,) * len(layer.kernel_size)
    return not any(size % 2 == 0 and step > 1 for size, step in zip(sizes, layer.dilation, strict=True))


def _dirac(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d, unit: Unit) -> None:
    """Ones at the tap that sees the pixel itself. An even kernel pads one less before than behind (torch's "same")."""
    if not has_identity(conv):
        raise EditError(
            "init 'identity' needs a tap on the pixel itself", where=unit.name,
            found=f"even kernel {conv.kernel_size} with dilation {conv.dilation}", hint="--init default",
        )  # fmt: skip
    channels = torch.arange(conv.out_channels)
    centre = ((size - 1) // 2 for size in conv.kernel_size)
    taps: tuple[torch.Tensor | int, ...] = (channels, channels % (conv.in_channels // conv.groups), *centre)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[taps] = 1.0
