"""Models that a file names, not the user: a checkpoint from elsewhere must not choose what is called."""

import sys
import sysconfig
import typing
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from depthprobe.errors import ModelError

_STDLIB = Path(sysconfig.get_path("stdlib"))


def check_module_name(spec: str) -> None:
    """Raise ModelError when importing `pkg.mod` of a spec would run a program or a part of Python itself."""
    parts = spec.partition(":")[0].split(".")
    found = find_spec(parts[0]) if parts[0].isidentifier() else None
    origin = found.origin if found is not None and found.has_location else None
    of_python = parts[0] in sys.stdlib_module_names and (origin is None or Path(origin).is_relative_to(_STDLIB))
    if of_python or "__main__" in parts:
        raise _refused(spec, "a module of Python itself, or a program; it was not imported")


def check_target(target: object, spec: str) -> None:
    """Raise ModelError unless a spec names a network, a network's class, or a function that says that it makes one.

    Functions of modules outside the installed packages are the user's own and need not say so.
    """
    if isinstance(target, nn.Module) or _is_network(target) or _is_network(_returned(target)):
        return
    place = getattr(sys.modules.get(str(getattr(target, "__module__", ""))), "__file__", None)
    installed = place is None or {"site-packages", "dist-packages"} & set(Path(place).parts)
    named = spec.partition(":")[0] == getattr(target, "__module__", None)
    if installed or not named or isinstance(target, type):
        raise _refused(spec, f"{getattr(target, '__qualname__', type(target).__name__)}; it was not called")


def _returned(target: object) -> object:
    try:
        return typing.get_type_hints(target).get("return")
    except Exception:  # noqa: BLE001  (annotations are evaluated: anything can come of them)
        return None


def _is_network(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def _refused(spec: str, found: str) -> ModelError:
    return ModelError(
        "the file names a model that only you may name",
        where=spec,
        expected="a torch.nn.Module class or instance, or a function annotated as returning one",
        found=found,
        hint=f"where you trust it: depthprobe shrink model.pt --model {spec} --dataset ...",
    )
