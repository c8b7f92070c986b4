"""Copies of a block: the same module once more, its weights drawn anew, its output shape in and out."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.errors import EditError
from depthprobe.graph.blocks import Block
from depthprobe.graph.layer_types import NORMS
from depthprobe.graph.refusals import template_of
from depthprobe.graph.trace import Traced
from depthprobe.graph.units import Unit
from depthprobe.layers.wiring import Wiring
from depthprobe.surgery.capture import Captured, is_identity

_NUMBERS = ("layer_idx", "layer_id")  # where a layer's key/value cache lies, in the libraries that have one


@dataclass(frozen=True)
class Stock:
    """What all copies of a model's blocks are made from, looked up once. draw: how the model initialises one module of
    its own; numbered: the highest number that a layer has for its key/value cache.
    """

    modules: dict[str, nn.Module]
    blocks: dict[str, Block]
    training: bool
    draw: Callable[[nn.Module], Any] | None
    numbered: int

    @classmethod
    def of(cls, traced: Traced) -> "Stock":
        """The stock of a traced model."""
        modules = dict(traced.original.named_modules())
        own = next((m for m in modules.values() if hasattr(m, "_init_weights") and hasattr(m, "config")), None)
        taken = [number for m in modules.values() for name in _NUMBERS if type(number := getattr(m, name, None)) is int]
        draw = None if own is None else own._init_weights
        return cls(modules, traced.blocks, traced.original.training, draw, max(taken, default=0))


def copy_of_block(stock: Stock, unit: Unit, init: str, index: int, call: Captured) -> nn.Module:
    """A new block that fits right after `unit`. Weights are drawn from torch's global generator.

    Made after the unit itself, or after a block of its class that keeps the shape. Weights that no module knows how to
    draw (a scale per layer, a table of positions, another library's norm) keep the template's values. index: counts
    the copies of the whole recipe; layers that number themselves for a key/value cache get a number of their own.
    call: what the unit gave, for finding an identity.
    """
    block = stock.blocks[unit.name]
    template = template_of(stock.modules, block, stock.blocks.values())
    if template is None:
        raise EditError(f"unit {unit.name!r} cannot be copied", found=unit.reason)
    old = stock.modules[template.name]
    new = _recurrent(old) if isinstance(old, nn.RNNBase) else _copied(old)
    if init != "copy":
        reset_weights(new, stock.draw)
    _number_layers(new, stock.numbered + 1 + index)
    if init == "copy" and isinstance(old, nn.RNNBase):
        _copy_recurrent(new, old, unit)
    elif init == "identity":
        make_identity(new, block.wiring, call, unit.name)
    elif init not in ("default", "copy"):
        _draw(new, init)
    weight = next(old.parameters())
    return new.requires_grad_(True).to(device=weight.device, dtype=weight.dtype).train(stock.training)


def _copied(old: nn.Module) -> nn.Module:
    new = copy.deepcopy(old)
    for part in new.modules():
        if getattr(part, "inplace", None) is True:
            part.inplace = False  # type: ignore[assignment]  # what it would overwrite is the unit's output
    return new


def _recurrent(old: nn.RNNBase) -> nn.Module:
    """One layer of the same kind that takes what `old` returns."""
    width = (getattr(old, "proj_size", 0) or old.hidden_size) * (2 if old.bidirectional else 1)
    settings: dict[str, Any] = {"bias": old.bias, "batch_first": old.batch_first, "bidirectional": old.bidirectional}
    if getattr(old, "proj_size", 0):
        settings["proj_size"] = old.proj_size
    if isinstance(old, nn.RNN):
        settings["nonlinearity"] = old.nonlinearity
    kind: Any = type(old)  # RNN, GRU or LSTM: their signature is not RNNBase's
    return kind(width, old.hidden_size, 1, **settings)  # type: ignore[no-any-return]


def _copy_recurrent(new: nn.Module, old: nn.RNNBase, unit: Unit) -> None:
    last = old.num_layers - 1
    source = {name.replace(f"_l{last}", "_l0"): p for name, p in old.named_parameters() if f"_l{last}" in name}
    mine = dict(new.named_parameters())
    if any(source[name].shape != p.shape for name, p in mine.items()):
        raise EditError("init 'copy' needs equal shapes", where=unit.name, hint="--init default")
    with torch.no_grad():
        for name, parameter in mine.items():
            parameter.copy_(source[name])


@torch.no_grad()
def reset_weights(block: nn.Module, draw: Callable[[nn.Module], Any] | None) -> None:
    """Draw the block's weights anew, as its modules do; a Hugging Face model draws them its own way."""
    for part in block.modules():
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if callable(reset):
            reset()
        if draw is not None:
            draw(part)


def _number_layers(block: nn.Module, number: int) -> None:
    for part in block.modules():
        for name in _NUMBERS:
            if type(getattr(part, name, None)) is int:
                setattr(part, name, number)


@torch.no_grad()
def _draw(block: nn.Module, init: str) -> None:
    for part in block.modules():
        for name, parameter in part._parameters.items():
            if parameter is None or isinstance(part, NORMS):
                continue
            if parameter.ndim < 2:
                parameter.zero_() if "bias" in name else None
            elif init == "xavier":
                nn.init.xavier_uniform_(parameter)
            elif init == "he":
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                nn.init.normal_(parameter, 0.0, float(init.removeprefix("gaussian:")))


def make_identity(block: nn.Module, wiring: Wiring, call: Captured, name: str) -> None:
    """Zero the last layer of every residual branch. Raises EditError when that does not make the block the identity.

    Found by trying: with all layers zero the block must return its input; then layers get their weights back, from the
    first to the last, as long as it still does.
    """
    if not zero_to_identity(block, wiring, call):
        raise EditError(
            "init 'identity' needs a block that adds its input back", where=name, found=type(block).__name__,
            hint="--init default",
        )  # fmt: skip


@torch.no_grad()
def zero_to_identity(block: nn.Module, wiring: Wiring, call: Captured) -> bool:
    """Whether the block could be made the identity; if not, it is as it was."""
    layers = _layers_in_order(block, wiring, call)
    saved = [[(p, p.clone()) for p in layer.parameters(recurse=False)] for layer in layers]
    if any(hasattr(layer, "parametrizations") for layer in block.modules()) or wiring.states:
        return False
    for values in saved:
        for parameter, _ in values:
            parameter.zero_()
    if not is_identity(block, wiring, call):
        _put_back(saved)
        return False
    for values in saved:
        _put_back([values])
        if not is_identity(block, wiring, call):
            for parameter, _ in values:
                parameter.zero_()
    return True


def _put_back(saved: list[list[tuple[nn.Parameter, Tensor]]]) -> None:
    for values in saved:
        for parameter, value in values:
            parameter.copy_(value)


def _layers_in_order(block: nn.Module, wiring: Wiring, call: Captured) -> list[nn.Module]:
    """Modules with own parameters, in the order of their calls; one that is never called goes where it is written."""
    order: dict[int, int] = {}

    def note(module: nn.Module, _: Any) -> None:
        order.setdefault(id(module), len(order))

    handles = [module.register_forward_pre_hook(note) for module in block.modules()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        is_identity(block, wiring, call)
    for handle in handles:
        handle.remove()
    place, keyed = 0, []
    for rank, module in enumerate(block.modules()):
        place = order.get(id(module), place)
        if any(p is not None for p in module._parameters.values()):
            keyed.append((place, rank, module))
    return [module for _, _, module in sorted(keyed, key=lambda entry: entry[:2])]
