"""A model that was passed as an object: fresh copies of it, and the identity of its structure."""

import copy
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter, is_lazy

from depthprobe.errors import ModelError
from depthprobe.inputs.checkpoint import Checkpoint
from depthprobe.inputs.isolation import seeded
from depthprobe.inputs.overrides import Overrides


@dataclass(frozen=True, eq=False)
class InMemoryModel:
    """A network passed from Python; `module` itself is never changed. checkpoint: what every copy starts from."""

    module: nn.Module
    checkpoint: Checkpoint | None = None

    def build(self, seed: int) -> nn.Module:
        """Return a copy with weights drawn anew under `seed`; what no module can reset keeps its value."""
        network = renew(self.module, seed)
        if self.checkpoint is not None:
            self.checkpoint.load_into(network)
        check_network(network, self.where)
        return network

    def overrides(self) -> Overrides:
        """None: an object brings no training functions along."""
        return Overrides()

    @property
    def where(self) -> str:
        """How messages call this model."""
        return f"<python> {type(self.module).__qualname__}"

    def to_json(self) -> dict[str, object]:
        """Class name and structure hash: enough to recognise the model, not to build it."""
        return {
            "spec": "<python>",
            "class": f"{type(self.module).__module__}.{type(self.module).__qualname__}",
            "structure": hash_structure(self.module),
        }


def renew(module: nn.Module, seed: int) -> nn.Module:
    """Return a deep copy in which every submodule that can reset its parameters has done so under `seed`.

    Parameters that belong to no such submodule keep their values, and frozen ones stay frozen. Raises
    ModelError for a module that cannot be copied.
    """
    try:
        network = copy.deepcopy(module)
    except (RuntimeError, TypeError, NotImplementedError, copy.Error) as problem:
        raise ModelError(
            "the network cannot be copied",
            where=f"<python> {type(module).__qualname__}",
            found=f"{type(problem).__name__}: {problem}",
            hint="pass a file or a factory instead: file.py:name",
        ) from problem
    with seeded(seed):
        _reset(network)
    return network


def undrawn(module: nn.Module) -> list[str]:
    """Names of the parameters of which `renew` cannot draw all values anew: those of the module stay.

    Found by doing it, on a copy in which every value is marked before. Raises ModelError as `renew`.
    """
    network = renew(module, 0)
    known = [parameter for parameter in network.parameters() if not is_lazy(parameter) and not parameter.is_meta]
    with torch.no_grad():
        for parameter in known:
            if parameter.is_floating_point():
                parameter.fill_(math.nan)
    with seeded(0):
        _reset(network)
    left = {id(parameter) for parameter in known if parameter.is_floating_point() and bool(parameter.isnan().any())}
    return [name for name, parameter in network.named_parameters() if id(parameter) in left]


def name_some(names: Sequence[str], most: int = 5) -> str:
    """The first of `names`, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _reset(network: nn.Module) -> None:
    # Innermost first, as when they were made: what a parent sets in its children comes last.
    for part in reversed(list(network.modules())):
        # MultiheadAttention and Transformer spell it with an underscore.
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if callable(reset):
            reset()


def hash_structure(module: nn.Module) -> str:
    """Hash (SHA-256) the types of all submodules and the names, shapes and dtypes of all tensors."""
    lines = [f"{name} {type(part).__module__}.{type(part).__qualname__}" for name, part in module.named_modules()]
    tensors = [*module.named_parameters(), *module.named_buffers()]
    lines += [f"{name} {'lazy' if is_lazy(t) else tuple(t.shape)} {t.dtype}" for name, t in tensors]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_network(network: nn.Module, where: str) -> None:
    """Raise ModelError for a network without parameters, or with weights that are not finite numbers."""
    parameters = dict(network.named_parameters())
    if not parameters:
        raise ModelError(
            "the module has no parameters: nothing to train", where=where, found=type(network).__qualname__
        )
    for name, parameter in parameters.items():
        if isinstance(parameter, UninitializedParameter):  # shape known after the first batch: no weights yet
            continue
        if parameter.is_meta:
            raise ModelError(f"parameter {name} has no values", where=where, found="device 'meta'")
        bad = int((~torch.isfinite(parameter.detach())).sum())
        if bad:
            raise ModelError(
                f"parameter {name} holds weights that are not finite",
                where=where,
                expected="finite numbers",
                found=f"{bad} of {parameter.numel()} are NaN or infinite",
            )
