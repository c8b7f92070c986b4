"""Which channels are needed least: each one's share of what its readers compute that no other channel can stand in for.

A channel is left out, and the readers' weights make up for it as well as least squares can (optimal brain surgeon, by
channel). Magnitudes do not see that a channel is a copy of another; this does, and hands over what the copy carried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.surgery.channels import Channels

DAMPING = 1e-3  # of the mean second moment: what keeps few examples from explaining everything
PART = 64  # examples per pass
ROWS = 4096  # activations of a pass that are looked at, at most


@dataclass(frozen=True, kw_only=True)
class Cut:
    """kept: channels that stay, ascending; order: all channels, the one needed most first; weights: of the readers by
    name, all input channels still in, with what the others carried handed over.
    """

    kept: tuple[int, ...]
    order: tuple[int, ...]
    weights: Mapping[str, Tensor]


def measure_moments(network: nn.Module, groups: Sequence[Channels], inputs: Any) -> dict[tuple[str, str], Tensor]:
    """(unit, reader) -> (width, width) second moments of the channels as the reader gets them, in eval mode.

    inputs: a tensor (N, ...), a tuple or a dict as the model takes.
    """
    sums: dict[tuple[str, str], Tensor] = {}
    handles = [
        network.get_submodule(reader.name).register_forward_pre_hook(
            _listen(sums, (group.unit, reader.name), reader.places)
        )
        for group in groups
        for reader in group.readers
    ]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            for args, kwargs in _parts(inputs):
                network(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return sums


def _parts(inputs: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    from depthprobe.graph.example import split_inputs

    if isinstance(inputs, Tensor):
        return [((part,), {}) for part in torch.split(inputs, PART)]
    return [split_inputs(inputs)]


def _listen(sums: dict[tuple[str, str], Tensor], key: tuple[str, str], places: Tensor) -> Any:
    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0].detach()
        rows = (x if isinstance(module, nn.Linear) else x.movedim(1, -1)).flatten(0, -2)
        rows = rows[:: max(1, len(rows) * places.shape[1] // ROWS)]
        rows = rows[:, places.to(x.device)].transpose(1, 2).flatten(0, 1).double()  # (rows * S, width)
        sums[key] = sums.get(key, torch.zeros((), dtype=torch.float64, device=x.device)) + rows.T @ rows

    return hook


def measure_errors(network: nn.Module, groups: Sequence[Channels], inputs: Any) -> dict[str, list[float]]:
    """unit -> for 1, 2, ... channels left the share of what its readers compute that is lost, all others being whole.

    inputs: as for `measure_moments`.
    """
    moments = measure_moments(network, groups, inputs)
    errors = {}
    for group in groups:
        rows, seen = _of_readers(network, group, moments)
        _, _, costs = _eliminate(rows, seen, group.width, 1)
        errors[group.unit] = list(accumulate([0.0, *(cost / max(1, len(rows)) for cost in costs)]))[::-1]
    return errors


def choose_channels(network: nn.Module, group: Channels, moments: Mapping[tuple[str, str], Tensor], keep: int) -> Cut:
    """The `keep` channels of a group that the readers can do with best. moments: of `measure_moments`."""
    rows, seen = _of_readers(network, group, moments)
    gone, rows, _ = _eliminate(rows, seen, group.width, keep)
    left = sorted(set(range(group.width)) - set(gone))
    weights = {
        reader.name: _with_rows(network.get_submodule(reader.name), reader.places[left], row[left])
        for reader, row in zip(group.readers, rows, strict=False)
    }
    return Cut(kept=tuple(left), order=(*left, *reversed(gone)), weights=weights)


def _of_readers(
    network: nn.Module, group: Channels, moments: Mapping[tuple[str, str], Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Every reader's weights (width, M) and what it sees of the channels (width, width)."""
    rows = [_rows(network.get_submodule(reader.name), reader.places) for reader in group.readers]
    seen = [moments[(group.unit, reader.name)] for reader in group.readers]
    if not rows:  # nobody reads them by a weight: what is made small is missed least
        made = [network.get_submodule(name).get_parameter("weight").detach() for name in group.members]
        rows = [weight.flatten(1).double() for weight in made if len(weight) == group.width]
        seen = [torch.eye(group.width, dtype=torch.float64, device=row.device) for row in rows]
    return rows, seen


def _eliminate(
    rows: list[Tensor], seen: list[Tensor], width: int, keep: int
) -> tuple[list[int], list[Tensor], list[float]]:
    """(channels left out, in that order; the readers' weights after it; the share of their output that each cost).

    rows: (width, M) of every reader; seen: (width, width).
    """
    damped = [_damped(moment) for moment in seen]
    inverses = [torch.linalg.inv(moment) for moment in damped]
    scales = [float((row * (moment @ row)).sum().clamp_min(1e-30)) for row, moment in zip(rows, damped, strict=True)]
    gone: list[int] = []
    spent: list[float] = []
    rows, alive = list(rows), torch.ones(width, dtype=torch.bool)
    while width - len(gone) > keep:
        costs = torch.zeros(width, dtype=torch.float64)
        for row, inverse, scale in zip(rows, inverses, scales, strict=True):
            costs += (row.square().sum(1) / inverse.diagonal().clamp_min(1e-30) / scale).cpu()
        least = int(torch.where(alive, costs, torch.inf).argmin())
        for rank, inverse in enumerate(inverses):
            column = inverse[:, least] / inverse[least, least]
            rows[rank] = rows[rank] - column[:, None] * rows[rank][least]
            inverses[rank] = inverse - column[:, None] * inverse[least]
        spent.append(max(0.0, float(costs[least])))
        alive[least] = False
        gone.append(least)
    return gone, rows, spent


def _damped(moment: Tensor) -> Tensor:
    return moment + DAMPING * moment.diagonal().mean().clamp_min(1e-12) * torch.eye(len(moment)).to(moment)


def _inputs_first(layer: nn.Module) -> Tensor:
    """The weight as (input channels, ...)."""
    weight = layer.get_parameter("weight").detach()
    return weight if getattr(layer, "transposed", False) else weight.transpose(0, 1)


def _rows(layer: nn.Module, places: Tensor) -> Tensor:
    return _inputs_first(layer)[places.to(layer.get_parameter("weight").device)].double().flatten(1)


def _with_rows(layer: nn.Module, places: Tensor, rows: Tensor) -> Tensor:
    weight = _inputs_first(layer).clone()
    places = places.to(weight.device)
    weight[places] = rows.view(*places.shape, *weight.shape[1:]).to(weight.dtype)
    return weight if getattr(layer, "transposed", False) else weight.transpose(0, 1)
