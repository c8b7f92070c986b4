"""What a module does for the weight layer before it: normalise, squash, drop, pool."""

from collections.abc import Sequence

from torch import nn

from depthprobe.graph.layer_types import ACTIVATIONS, DROPOUTS, NORMS, POOLS


def role_of(module: nn.Module | None) -> str | None:
    """One of "norm", "activation", "norm + activation", "dropout", "pooling"; None for anything else."""
    if isinstance(module, NORMS):
        activated = any(isinstance(child, ACTIVATIONS) for child in module.children())
        return "norm + activation" if activated else "norm"  # a library's norm may hold the activation
    if isinstance(module, ACTIVATIONS):
        return "activation"
    if isinstance(module, DROPOUTS):
        return "dropout"
    if isinstance(module, POOLS):
        return "pooling"
    return None


def fits(role: str, roles: Sequence[str]) -> bool:
    """Whether none of a unit's layers does already what this one would do."""
    return not any(part in known.split(" + ") for known in roles for part in role.split(" + "))


def squashes(roles: Sequence[str]) -> bool:
    """Whether one of a unit's layers is an activation: without one, a copy would add no depth."""
    return any("activation" in role for role in roles)


def has_weights(module: nn.Module | None) -> bool:
    """Whether the module holds parameters, so that calling it twice means sharing them."""
    return module is not None and any(True for _ in module.parameters())
