"""Swapping modules inside a copy that shares everything else: the way to gate a model that has no graph."""

import types
from collections.abc import Mapping

from torch import nn

Members = Mapping[str, nn.Module | None]


def swap_modules(
    model: nn.Module, replacements: Mapping[str, nn.Module], members: Mapping[str, Members] | None = None
) -> nn.Module:
    """`model` with other modules at the named places; wherever such a module is used, its replacement is.

    members: path of a Sequential -> what it holds instead, in order. Only the modules on the way to a change are new,
    and they share their parameters, buffers and hooks with the old ones, so that moves and casts of one reach the
    other; everything else is the same module.
    """
    chosen = {id(model.get_submodule(name)): module for name, module in replacements.items()}
    filled = {id(model.get_submodule(name)): held for name, held in (members or {}).items()}
    return _swapped(model, chosen, filled, {})


def _swapped(
    module: nn.Module, chosen: Mapping[int, nn.Module], filled: Mapping[int, Members], done: dict[int, nn.Module]
) -> nn.Module:
    if id(module) in chosen:
        return chosen[id(module)]
    if id(module) not in done:
        held = filled.get(id(module), module._modules)
        children = {name: child and _swapped(child, chosen, filled, done) for name, child in held.items()}
        before = [(name, id(child)) for name, child in module._modules.items()]
        same = before == [(name, id(child)) for name, child in children.items()]
        done[id(module)] = module if same else _shallow(module, children)
    return done[id(module)]


def _shallow(module: nn.Module, children: dict[str, nn.Module | None]) -> nn.Module:
    """Another module of the class with the same insides but for its children; methods bound to it are bound anew."""
    new = module.__class__.__new__(module.__class__)
    for key, value in vars(module).items():
        bound = isinstance(value, types.MethodType) and value.__self__ is module
        new.__dict__[key] = types.MethodType(value.__func__, new) if bound else value
    new.__dict__["_modules"] = children
    return new
