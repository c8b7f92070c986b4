"""Names inside a network: which are taken, and one that is not."""

from typing import Any

from torch import nn


def free_name(root: nn.Module, wanted: str) -> str:
    """`wanted`, or with the first number behind it that nothing in `root` is called."""
    name, number = wanted, 2
    while is_taken(root, name):
        name, number = f"{wanted}{number}", number + 1
    return name


def is_taken(root: nn.Module, path: str) -> bool:
    """Whether `root` has a module, parameter or buffer of this dotted name."""
    value: Any = root
    for part in path.split("."):
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True
