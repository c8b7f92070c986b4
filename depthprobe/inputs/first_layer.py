"""Pictures of other than three channels for models written for three: the first convolution is made anew."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from depthprobe.errors import ModelError

_RGB = 3


def of_channels(build: Callable[..., Any], spec: str) -> Callable[..., Any]:
    """`build` with one argument more, `in_channels`: how many channels the pictures have (None: as it is built).

    Raises ModelError when the network that is built has no convolution of three channels.
    """

    def make(*, in_channels: int | None = None, **settings: Any) -> Any:
        network = build(**settings)
        if in_channels not in (None, _RGB):
            _replace_first(network, int(in_channels), spec)
        return network

    return make


def _replace_first(network: nn.Module, channels: int, spec: str) -> None:
    convs = ((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d))
    name = next((name for name, conv in convs if (conv.in_channels, conv.groups) == (_RGB, 1)), None)
    if name is None:
        raise ModelError(
            f"in_channels={channels}: no convolution of three channels to make anew", where=spec,
            hint="a model of your own, file.py:name, that takes such pictures",
        )  # fmt: skip
    holder, _, last = name.rpartition(".")
    setattr(network.get_submodule(holder), last, _for_channels(network.get_submodule(name), channels))


@torch.no_grad()
def _for_channels(conv: Any, channels: int) -> nn.Conv2d:
    """The layer for so many channels: the old weights in turn, scaled so that its outputs vary as before."""
    new = nn.Conv2d(
        channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation,
        bias=conv.bias is not None, padding_mode=conv.padding_mode,
    )  # fmt: skip
    new.weight.copy_(conv.weight[:, torch.arange(channels) % _RGB] * (_RGB / channels) ** 0.5)
    if new.bias is not None:
        new.bias.copy_(conv.bias)
    return new
