"""Widen: conv and linear layers of which only the first channels live; the others join later (paper, section 6)."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from depthprobe.layers.ratio import RatioModule


class Widen(RatioModule):
    """A conv or linear layer of which the first `ceil(p*n)` output channels are computed, at least one.

    inside: nn.Conv1d/2d/3d with one group, or nn.Linear; its weights have the full width. Inputs narrower than the
    layer are taken as the first of its channels, so that thin layers follow one another without anything between them;
    behind nn.Flatten that holds too, as channels come first there. Channels that have not joined get no gradient but
    zeros, and cost nothing. whole: the output stays at full width (a classifier).
    """

    def __init__(self, inside: nn.Module, ratio: float = 1.0, *, whole: bool = False) -> None:
        super().__init__(ratio)
        if not isinstance(inside, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)) or getattr(inside, "groups", 1) != 1:
            raise ValueError(f"Widen takes a conv layer of one group or a linear layer, found {inside}")
        self.inside, self.whole = inside, whole

    @property
    def width(self) -> int:
        """Output channels that live now."""
        full = int(self.inside.weight.shape[0])
        return full if self.whole else min(full, max(1, math.ceil(self.ratio * full - 1e-9)))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, ...) with C up to the layer's inputs; returns (B, width, ...)."""
        layer, width = self.inside, self.width
        bias = None if layer.bias is None else layer.bias[:width]
        if isinstance(layer, nn.Linear):
            return F.linear(x, layer.weight[:width, : x.shape[-1]], bias)
        return layer._conv_forward(x, layer.weight[:width, : x.shape[1]], bias)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"ratio={self.ratio:.3g}"


def thin(model: nn.Module, ratio: float) -> dict[str, Widen]:
    """Put a Widen around every conv and linear layer of `model`, in place; the last of them stays whole.

    Returns name -> layer, without the last, in the order of the modules. For chains of layers only: where branches are
    added, both must be as wide. Raises ValueError for a layer that Widen does not take.
    """
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    wrapped = {name: Widen(model.get_submodule(name), ratio, whole=name == names[-1]) for name in names}
    for name, layer in wrapped.items():
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, layer)
    return {name: wrapped[name] for name in names[:-1]}


def plain(model: nn.Module) -> nn.Module:
    """Undo of `thin`, in place: the layers themselves, at full width. Returns `model`."""
    for name, module in list(model.named_modules()):
        if isinstance(module, Widen):
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, module.inside)
    return model
