"""What an optimizer must know after surgery: the same groups and state, plus the new parameters."""

import inspect
from typing import Any

import torch
from torch import nn

from depthprobe.errors import EditError
from depthprobe.surgery.edited import Edited


def move_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, edited: Edited, *, new_lr_scale: float = 1.0
) -> torch.optim.Optimizer:
    """An optimizer of the same kind for `edited`: groups, learning rates and state of `model`'s parameters kept.

    New layers join as one more group with the first group's settings, its learning rate times `new_lr_scale`.
    Raises EditError when the optimizer holds a parameter that is not the model's.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    moved = edited.original_parameters
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        strangers = [p for p in group["params"] if id(p) not in names]
        if strangers:
            raise EditError(
                "the optimizer holds a parameter that is not the model's",
                found=f"shape {tuple(strangers[0].shape)}",
                hint="pass the model that the optimizer was made for",
            )
        groups.append({**group, "params": [moved[names[id(p)]] for p in group["params"]]})
    new = new_parameters(edited)
    if new:
        first = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        if "param_names" in first:
            called = {id(p): name for name, p in edited.named_parameters()}
            first["param_names"] = [called[id(p)] for p in new]
        groups.append({**first, "lr": first["lr"] * new_lr_scale, "params": new})
    result = type(optimizer)(groups, **_defaults(optimizer))
    for old, state in optimizer.state.items():
        result.state[moved[names[id(old)]]] = {
            key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in state.items()
        }
    return result


def new_parameters(edited: Edited) -> list[nn.Parameter]:
    """The parameters of inserted copies, in order of the data flow."""
    known = {id(p) for p in edited.original_parameters.values()}
    return [p for gate in edited.gates.values() for p in gate.inside.parameters() if id(p) not in known]


def _defaults(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    accepted = inspect.signature(type(optimizer).__init__).parameters
    return {key: value for key, value in optimizer.defaults.items() if key in accepted}
