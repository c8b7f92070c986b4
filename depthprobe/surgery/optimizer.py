"""What an optimizer must know after surgery: the same groups and state, plus the new parameters."""

import copy
import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

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


def carry_state(
    old: torch.optim.Optimizer,
    new: torch.optim.Optimizer,
    twins: Iterable[tuple[nn.Parameter, nn.Parameter, Tensor | None]],
) -> None:
    """Copy the state of `old` into `new`, parameter by parameter, and what the groups hold beside parameters and rates
    where there are as many. twins: (old parameter, new one, flat indices of the old one's elements that it holds, None
    for all).
    """
    for parameter, twin, index in twins:
        state = old.state.get(parameter)
        if state:
            new.state[twin] = {key: _carried(value, parameter, index) for key, value in state.items()}
    groups, others = new.param_groups, old.param_groups
    for group, other in zip(groups, others, strict=True) if len(groups) == len(others) else []:
        group.update({key: copy.deepcopy(value) for key, value in other.items() if key not in ("params", "lr")})


def _carried(value: Any, parameter: nn.Parameter, index: Tensor | None) -> Any:
    """A momentum is cut as its parameter was; a count of steps stays."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    return value.clone() if index is None or value.shape != parameter.shape else value.flatten()[index].clone()


def new_parameters(edited: Edited) -> list[nn.Parameter]:
    """The parameters of inserted copies, in order of the data flow."""
    known = {id(p) for p in edited.original_parameters.values()}
    return [p for gate in edited.gates.values() for p in gate.inside.parameters() if id(p) not in known]


def _defaults(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    accepted = inspect.signature(type(optimizer).__init__).parameters
    return {key: value for key, value in optimizer.defaults.items() if key in accepted}
