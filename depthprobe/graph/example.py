"""Example inputs: how they are given, at which batch size they are tried, and a forward that leaves no trace."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.errors import GraphError

Example = tuple[tuple[Any, ...], dict[str, Any]]


def split_inputs(example_inputs: Any) -> Example:
    """Tensor, tuple of positional or dict of keyword arguments -> (args, kwargs)."""
    if isinstance(example_inputs, Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, (tuple, list)):
        return tuple(example_inputs), {}
    raise GraphError(
        "example_inputs has the wrong type",
        expected="a tensor, a tuple of positional arguments or a dict of keyword arguments",
        found=type(example_inputs).__name__,
        hint="dp.units(model, torch.randn(2, 3, 32, 32))",
    )


def resize_batch(values: Any, size: int) -> Any:
    """`size` examples: those given, over and over. Raises GraphError when there is none.

    Their variety stays: a batch of one text without padding, many times, would hide that a mask is passed on.
    """
    if isinstance(values, Tensor):
        if values.ndim and not len(values):
            raise GraphError("example_inputs holds no example", found=f"a tensor of shape {tuple(values.shape)}")
        return values[torch.arange(size, device=values.device) % len(values)] if values.ndim else values
    if isinstance(values, dict):
        return {key: resize_batch(value, size) for key, value in values.items()}
    if isinstance(values, (tuple, list)):
        return type(values)(resize_batch(value, size) for value in values)
    return values


def check_fit(known: Mapping[str, bool], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise GraphError unless forward can be called so. known: what it takes, in order -> whether it has a default."""
    rest = list(known)[len(args) :]
    if len(args) > len(known) or not set(kwargs) <= set(rest):
        given = [f"{len(args)} by position"] * bool(args) + list(kwargs)
        raise GraphError("example_inputs does not fit forward", expected=", ".join(known), found=", ".join(given))
    missing = [name for name in rest if name not in kwargs and not known[name]]
    if missing:
        raise GraphError("example_inputs does not fit forward", expected=", ".join(known), found=f"no {missing[0]}")


def describe_inputs(values: Any) -> str:
    """The shapes of all tensors in the inputs, in words."""
    if isinstance(values, Tensor):
        return str(tuple(values.shape))
    if isinstance(values, Mapping):
        values = values.values()
    elif not isinstance(values, (tuple, list)):
        return ""
    return ", ".join(text for value in values if (text := describe_inputs(value)))


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients; afterwards flags, buffers and the random state are what they were."""
    modes = [(module, module.training) for module in net.modules()]
    buffers = [(value, value.detach().clone()) for value in net.buffers()]
    try:
        net.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for value, saved in buffers:
            with torch.no_grad():
                value.copy_(saved)


def copy_model(model: nn.Module) -> nn.Module:
    """A deep copy. Raises GraphError when the model cannot be copied.

    `torch.nn.utils.weight_norm` and its like keep a computed weight that torch refuses to copy: it is computed anew at
    the next forward, so its value will do.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise GraphError(
            f"{type(model).__name__} cannot be copied: {error}",
            expected="a model that copy.deepcopy takes",
            hint="keep locks, files, generators and computed tensors out of the modules",
        ) from error
