"""The user's own training functions, found by name: loss, optimizer, schedule, augment, training_step."""

import contextlib
import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.errors import DepthprobeError, ModelError, UserCodeError
from depthprobe.inputs.pyfiles import reporting

NAMES = ("loss", "optimizer", "schedule", "augment", "training_step")

Function = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Functions that replace parts of the training; None where the user has none.

    loss: (output, target) -> scalar tensor. optimizer: (trainable parameters) -> torch.optim.Optimizer. schedule:
    (share of the training done, 0..1) -> factor on the learning rate. augment: (B, ...) -> (B, ...) inputs.
    training_step: (model, (x, y)) -> scalar tensor, in place of forward pass and loss. path: the file they come from.
    notes: what carries such a name and is not used, with the reason.
    """

    loss: Function | None = None
    optimizer: Function | None = None
    schedule: Function | None = None
    augment: Function | None = None
    training_step: Function | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(name for name in NAMES if getattr(self, name) is not None)

    def having(self, functions: Mapping[str, Function | None]) -> "Overrides":
        """The same with `functions` (by name; None: without it)."""
        return replace(self, **functions)  # type: ignore[arg-type]

    def only(self, names: frozenset[str]) -> "Overrides":
        """The same without those that are not in `names`."""
        return self.having({name: None for name in self.names if name not in names})

    def call(self, name: str, *arguments: object, error: type[DepthprobeError] = UserCodeError) -> Any:
        """Call the function `name`; whatever it raises becomes `error` with its file and line. Prints go to stderr."""
        return call_user(getattr(self, name), name, *arguments, path=self.path, error=error)


def call_user(
    function: Function, name: str, *arguments: object, path: Path | None, error: type[DepthprobeError]
) -> Any:
    """Call the user's `function`; whatever it raises becomes `error` with file and line. path: where it was found."""
    code = getattr(function, "__code__", None)
    place = Path(code.co_filename) if code is not None else path
    with contextlib.redirect_stdout(sys.stderr), reporting(place, f"calling {name}", error, advise=False):
        return function(*arguments)


def find_overrides(module: ModuleType, path: Path | None) -> Overrides:
    """The functions of NAMES in a model's module, imported ones too. Raises ModelError for a loss with parameters.

    What carries such a name but cannot be called that way (a number, an optimizer that is made already, a class of
    modules) is not taken; the notes say so. Submodules of a package are passed over.
    """
    found, notes = {}, []
    for name in NAMES:
        value = vars(module).get(name)
        if value is None or isinstance(value, ModuleType):
            continue
        if reason := _unfit(name, value):
            notes.append(f"{name} in {path.name if path else module.__name__} is not used: {reason}")
        else:
            check_function(name, value, path)
            found[name] = value
    return Overrides(**found, path=path, notes=tuple(notes))


def is_override(name: str, value: object) -> bool:
    """Whether a value of a model's file is one of the functions, and so not the model."""
    return name in NAMES and not _unfit(name, value)


def check_function(name: str, value: object, path: Path | None) -> None:
    """Raise ModelError for what cannot be called, and for a module with parameters, which nobody would train."""
    where = f"{path}:{name}" if path else name
    if reason := _unfit(name, value):
        raise ModelError(f"{name} is not a function", where=where, found=reason)
    if isinstance(value, nn.Module) and any(True for _ in value.parameters()):
        raise ModelError(
            f"{name} has parameters of its own, which are not part of the model and would not be trained",
            where=where,
            found=type(value).__name__,
            hint=f"make them part of the model, or {name} a module of buffers",
        )


def _unfit(name: str, value: object) -> str | None:
    if isinstance(value, type) and issubclass(value, nn.Module):
        return f"a class of modules, not an instance ({name} = {value.__name__}())"
    if not callable(value) or isinstance(value, Tensor):
        return f"a {type(value).__name__}, not a function"
    return None


def move_modules(overrides: Overrides, device: torch.device) -> Overrides:
    """The same with every function that is a module copied to `device` (class weights of a loss are buffers)."""
    modules = {name: getattr(overrides, name) for name in overrides.names}
    return overrides.having(
        {name: copy.deepcopy(m).to(device) for name, m in modules.items() if isinstance(m, nn.Module)}
    )
