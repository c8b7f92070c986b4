"""Which object of a file is the model, when only the file was named, and how to make a network of it."""

import difflib
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType

from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs.overrides import is_override
from depthprobe.inputs.pyfiles import reporting

PREFERRED = ("model", "Model", "net", "Net")
_FACTORY = re.compile(r"((build|make|create|get)_?)?(model|net|network)", re.IGNORECASE)


def choose_model(module: ModuleType, where: str, args: Mapping[str, object]) -> object:
    """Pick the one model of a file: an instance, else a class defined there, else a factory function.

    Instances without parameters (a loss, an activation) count only when there is nothing else. Among
    several, one called model, Model, net or Net is taken. A lone class that lacks arguments gives way to a
    lone factory that lacks none. The training functions of `overrides` (loss, augment, ...) never count. Raises
    ModelError when there is nothing, or no single choice.
    """
    public = {
        name: value for name, value in vars(module).items() if not name.startswith("_") and not is_override(name, value)
    }
    instances = _distinct({name: value for name, value in public.items() if isinstance(value, nn.Module)})
    trainable = {name: value for name, value in instances.items() if any(True for _ in value.parameters())}
    classes = {name: value for name, value in public.items() if _is_model_class(value, module)}
    factories = {name: value for name, value in public.items() if _is_factory(value, module)}
    if not (trainable or classes or factories):
        factories = {name: value for name, value in public.items() if _is_plain_function(value, module)}
    ready = {name: value for name, value in factories.items() if not missing_arguments(value, args)}
    every: dict[str, object] = {**trainable, **classes, **factories} or dict(instances)
    if len(classes) == len(ready) == 1 and all(missing_arguments(value, args) for value in classes.values()):
        classes = {}
    groups: list[Mapping[str, object]] = [trainable, classes, ready, factories, instances]
    group = next((group for group in groups if group), {})
    preferred = [name for name in PREFERRED if name in (group if trainable else every)]
    if not every:
        raise ModelError(
            "no model in this file",
            where=where,
            expected="a torch.nn.Module instance, a subclass of it, or a function that returns one",
            found=", ".join(public) or "an empty file",
            hint="model = nn.Sequential(...) at the top of the file",
        )
    if len(group) > 1 and len(preferred) != 1:
        raise ModelError(
            f"several models in this file: {', '.join(group)}",
            where=where,
            expected="one model, or one that is called model or Net",
            hint="   or   ".join(f"{where}:{name}" for name in list(every)[:4]),
        )
    return every[preferred[0]] if len(group) > 1 else next(iter(group.values()))


def make_network(target: object, args: Mapping[str, object], where: str, path: Path | None) -> nn.Module:
    """Return the network that `target` is, or makes when called with `args`; ModelError names the culprit."""
    if isinstance(target, nn.Module):
        if args:
            raise ModelError(
                f"a ready-made network takes no arguments: {', '.join(args)}",
                where=where,
                expected="a class or a factory function",
                hint="leave --model-args out, or name the class",
            )
        return target
    if not callable(target):
        raise ModelError("not a torch.nn.Module", where=where, found=type(target).__name__)
    _check_arguments(target, args, where)
    with reporting(path, f"building {where}", ModelError):
        network = target(**args)
    if not isinstance(network, nn.Module):
        raise ModelError("the result is not a torch.nn.Module", where=where, found=type(network).__name__)
    return network


def missing_arguments(target: Callable[..., object], args: Mapping[str, object]) -> list[str]:
    """Names of the parameters that have no default and are not in `args`."""
    return [
        name
        for name, parameter in _parameters(target).items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in args
    ]


def _check_arguments(target: Callable[..., object], args: Mapping[str, object], where: str) -> None:
    missing, known = missing_arguments(target, args), _parameters(target)
    _check_known(args, known, where)
    if missing:
        hint = " ".join(f"--model-args {name}=..." for name in missing)
        raise ModelError(
            f"arguments without a value: {', '.join(missing)}", where=where,
            found=f"{getattr(target, '__name__', 'the model')}({', '.join(known)})", hint=hint,
        )  # fmt: skip


def _check_known(args: Mapping[str, object], known: Mapping[str, inspect.Parameter], where: str) -> None:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in args:
        if name not in known:
            match = difflib.get_close_matches(name, known, n=1)
            raise ModelError(
                f"unknown argument: {name}",
                where=where,
                expected=", ".join(known) or "no arguments",
                hint=f"--model-args {match[0]}=..." if match else None,
            )


def _parameters(target: Callable[..., object]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):  # written in C: calling it will tell
        return {"arguments": inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)}


def _distinct(found: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """One name for each object; the preferred name where it has several."""
    ordered = sorted(found, key=lambda name: name not in PREFERRED)
    seen: dict[int, str] = {}
    for name in ordered:
        seen.setdefault(id(found[name]), name)
    return {name: found[name] for name in found if name in seen.values()}


def _is_model_class(value: object, module: ModuleType) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__


def _is_plain_function(value: object, module: ModuleType) -> bool:
    """Whether it is a function of this file that nothing says what it returns: taken when there is nothing else."""
    local = isinstance(value, FunctionType) and value.__module__ == module.__name__
    return local and "return" not in value.__annotations__


def _is_factory(value: object, module: ModuleType) -> bool:
    """Whether a function of this file is annotated to return a network, or unannotated and named for one."""
    if not isinstance(value, FunctionType) or value.__module__ != module.__name__:
        return False
    if "return" not in value.__annotations__:
        return _FACTORY.fullmatch(value.__name__) is not None
    try:
        returned = typing.get_type_hints(value).get("return")
    except (
        NameError,
        TypeError,
        AttributeError,
    ):  # an annotation that names something imported for typing only
        returned = value.__annotations__["return"]
    if isinstance(returned, str):
        return returned.rpartition(".")[2] == "Module"
    return isinstance(returned, type) and issubclass(returned, nn.Module)
