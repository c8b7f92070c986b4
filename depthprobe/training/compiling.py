"""`--compile`: the units of a network compiled, not the network around them.

A gate decides anew at every step how many samples enter its unit. As a whole, a gated network would be compiled again
whenever a gate begins to move, opens or shuts; a unit sees nothing of that but batches of several sizes.
"""

import functools
import importlib
import re
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.errors import ConfigError
from depthprobe.inputs.memory_model import hash_structure
from depthprobe.surgery import Edited

BACKEND: Any = "inductor"
COPY = re.compile(r".+_copy\d+")

_classes: dict[str, Callable[..., Any]] = {}  # compiled code, by the structure of the units that share it
_running = [False]


def compile_units(net: nn.Module) -> None:
    """From now on units run compiled code inside `compiled_units()`; equal units share it.

    Of a network with gates the units in them; of a settled one the copies that were added; any other as a whole.
    """
    check_compiler(next((p.device.type for p in net.parameters()), "cpu"))
    for module in compiled_parts(net):
        code = _classes.setdefault(hash_structure(module), _compiled(len(_classes)))
        module._compiled_call_impl = _dispatch(module, code)


def compiled_parts(net: nn.Module) -> list[nn.Module]:
    """What of `net` is compiled."""
    if isinstance(net, Edited):
        return [gate.inside for gate in net.gates.values()]
    copies = [module for name, module in net.named_children() if COPY.fullmatch(name)]
    return copies if isinstance(net, torch.fx.GraphModule) else [net]


@contextmanager
def compiled_units() -> Iterator[None]:
    """While it lasts (an update), compiled code runs; measuring and tracing see plain modules."""
    before, _running[0] = _running[0], True
    try:
        yield
    finally:
        _running[0] = before


def _dispatch(module: nn.Module, code: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _running[0]:
            return module._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]
        return code(module, *map(_prepared, args), **{name: _prepared(arg) for name, arg in kwargs.items()})

    return call


def _prepared(arg: Any) -> Any:
    """A tensor whose first size may vary. One that begins inside another's memory is copied: that is a graph less."""
    if not isinstance(arg, Tensor) or arg.ndim < 2:
        return arg
    arg = arg.clone() if arg.storage_offset() else arg
    torch._dynamo.maybe_mark_dynamic(arg, 0)
    return arg


def _call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return module._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]


def _compiled(number: int) -> Callable[..., Any]:
    """The same function with a code object of its own: compiled graphs are kept, counted and limited by code object."""
    code = _call.__code__.replace(co_name=f"unit_{number}")
    return torch.compile(types.FunctionType(code, globals()), backend=BACKEND)


@functools.cache
def check_compiler(device: str) -> None:
    """Raise ConfigError where nothing can be compiled for `cpu | cuda | mps`."""
    try:
        if device == "cuda":
            importlib.import_module("triton")
        else:
            from torch._inductor.cpp_builder import get_cpp_compiler

            get_cpp_compiler()
    except Exception as error:  # torch raises kinds of its own for a compiler that is absent or broken
        raise ConfigError(
            "nothing can be compiled on this machine", where="--compile", expected="a C++ compiler (CPU), triton (GPU)",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__, hint="leave --compile out",
        ) from error  # fmt: skip
