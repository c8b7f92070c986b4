"""Models inside importable packages: `pkg.mod:attr`."""

import hashlib
import importlib
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs.pyfiles import find_attribute, reporting


def find_in_package(spec: str) -> object:
    """Return the attribute that `pkg.mod:attr` names; call it inside `isolated`.

    A ready-made network is taken from a fresh execution of its module, so that its weights are drawn anew;
    the module everyone else sees stays as it was. Raises ModelError for a missing module or attribute, or
    one that raises while it is imported.
    """
    name, _, attribute = spec.partition(":")
    module = _import_module(name, spec)
    target = find_attribute(module, attribute, spec, ModelError)
    if not isinstance(target, nn.Module) or module.__spec__ is None or module.__spec__.loader is None:
        return target
    fresh = module_from_spec(module.__spec__)
    sys.modules[name] = fresh
    try:
        with reporting(None, f"executing {name}", ModelError):
            module.__spec__.loader.exec_module(fresh)
    finally:
        sys.modules[name] = module
    return find_attribute(fresh, attribute, spec, ModelError)


def import_package_module(spec: str) -> ModuleType:
    """The module of `pkg.mod:attr`; call it inside `isolated`. Raises ModelError as `find_in_package` does."""
    return _import_module(spec.partition(":")[0], spec)


def hash_package_file(spec: str) -> str | None:
    """Hash (SHA-256) the source file of the module in `pkg.mod:attr`; None when there is none."""
    name = spec.partition(":")[0]
    try:
        with reporting(None, f"importing {name}", ModelError):
            found = find_spec(name)
    except ModelError as problem:
        if isinstance(problem.__cause__, ModuleNotFoundError):
            return None
        raise
    path = Path(found.origin) if found is not None and found.origin else None
    if path is None or path.suffix != ".py" or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _import_module(name: str, spec: str) -> ModuleType:
    try:
        with reporting(None, f"importing {name}", ModelError):
            return importlib.import_module(name)
    except ModelError as problem:
        cause = problem.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise
        raise ModelError(
            f"no module named {missing!r}",
            where=spec,
            expected="an installed package, or one below the current folder",
            hint="check the name, or give the file: path/to/file.py:name",
        ) from cause
