"""Run the user's Python code without letting it disturb our random numbers, stdout, imports and defaults."""

import contextlib
import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

# Modules that the last user file imported from its own folder. They are forgotten before the next file runs:
# a neighbour of the same name in another folder must not answer in their place, and a network made inside one
# of them must be made anew. Until then they stay importable: torch.compile looks them up by name.
_NEIGHBOURS: dict[str, ModuleType] = {}


@contextlib.contextmanager
def isolated(seed: int, folder: Path) -> Iterator[None]:
    """Everything user code needs: seeded random numbers, its own folder importable, stdout sent to stderr.

    seed: for torch, numpy and random; their states are put back afterwards. folder: goes first on `sys.path`.
    """
    with seeded(seed), importable(folder), contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, numpy and random; restore their states, torch's default dtype and gradient mode after."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    # A CUDA context that has not started is left alone: seeding it would replace the seed queued for it.
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=devices):
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed_all(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Put `folder` first on `sys.path`, remember what gets imported from it, write no bytecode there."""
    _forget_neighbours()
    before, entry, no_bytecode = set(sys.modules), str(folder), sys.dont_write_bytecode
    importlib.invalidate_caches()
    sys.path.insert(0, entry)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = no_bytecode
        with contextlib.suppress(ValueError):  # the user's code may have taken it out itself
            sys.path.remove(entry)
        fresh = {name: sys.modules[name] for name in set(sys.modules) - before}
        _NEIGHBOURS.update({name: module for name, module in fresh.items() if _lives_in(folder, module)})


def _forget_neighbours() -> None:
    for name, module in _NEIGHBOURS.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
    _NEIGHBOURS.clear()


def _lives_in(folder: Path, module: ModuleType) -> bool:
    """Whether a module is the user's own: below the folder, not installed there, not part of depthprobe."""
    name = getattr(module, "__name__", "")
    if name.startswith("depthprobe"):
        return False
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    place = next((Path(text) for text in places if isinstance(text, str)), None)
    return place is not None and place.is_relative_to(folder) and "site-packages" not in place.parts
