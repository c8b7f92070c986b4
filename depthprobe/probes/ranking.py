"""Which unit is missed least: every one bypassed alone, without training."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthprobe.graph.costs import count_macs, count_parameters
from depthprobe.inputs import Split
from depthprobe.probes.plan import candidate_net
from depthprobe.surgery import Edited, Gate, apply
from depthprobe.training.batches import Batches
from depthprobe.training.learner import predict, refresh_batch_norm
from depthprobe.training.metrics import Metric
from depthprobe.training.outputs import main_output

MEASURED = 24  # units that are bypassed one by one; in deeper networks those of the least influence
IDLE = 1e-3  # of the outputs' standard deviation
PROBED = 256  # examples that the influence is measured on


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One unit. value: the metric on validation data without it (None: not measured, too many units); loss: what that
    is below the whole network; influence: 1 - cosine of what goes in and what comes out (None: shapes differ); params,
    macs: of the network without it, per example.
    """

    unit: str
    value: float | None
    loss: float | None
    influence: float | None
    params: int
    macs: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def rank_units(
    network: nn.Module, names: Sequence[str], split: Split, batches: Batches, metric: Metric, device: torch.device
) -> tuple[list[Ranked], float]:
    """The units by what the network loses without them, least first; and the value of the whole network.

    network: trained. batches: of training, augmented where it augments; BatchNorm is re-estimated on them before each
    measurement.
    """
    example = split.train.x[:2]
    edited = apply(network, [Gate(unit=name) for name in names], example)
    whole = _value(candidate_net(edited, names), split, batches, metric, device)
    influences = measure_influences(edited, names, split.valid.x[:PROBED])
    asked = sorted(names, key=lambda name: (influences[name] is None, influences[name] or 0.0))[:MEASURED]
    ranked = []
    for name in names:
        net = candidate_net(edited, [other for other in names if other != name])
        value = _value(net, split, batches, metric, device) if name in asked else None
        ranked.append(
            Ranked(
                unit=name,
                value=value,
                loss=None if value is None else whole - value,
                influence=influences[name],
                params=count_parameters(net),
                macs=count_macs(net, example),
            )
        )
    return sorted(ranked, key=_missed), whole


@torch.no_grad()
def find_idle(network: nn.Module, names: Sequence[str], x: Tensor) -> list[str]:
    """Units that change nothing: without all of them the outputs on x (N, ...) stay, to IDLE of their spread.

    network: trained, taken in eval mode. In order of the data flow.
    """
    edited = apply(network, [Gate(unit=name) for name in names], x[:2]).eval()
    whole = main_output(edited(x))
    scale = float(whole.std())
    idle = []
    for name in names:
        edited.gates[name].ratio = 0.0
        if float((main_output(edited(x)) - whole).abs().max()) <= IDLE * scale:
            idle.append(name)
        else:
            edited.gates[name].ratio = 1.0
    return idle


def _missed(row: Ranked) -> tuple[bool, bool, float, float]:
    """Units that change the shape last: their bypass cuts and fills channels instead of handing on what there is.
    Of the others the measured ones first, by what is lost; ties, and the rest, by influence.
    """
    influence = 2.0 if row.influence is None else row.influence
    return (row.influence is None, row.loss is None, 0.0 if row.loss is None else row.loss, influence)


@torch.no_grad()
def measure_influences(edited: Edited, names: Sequence[str], x: Tensor) -> dict[str, float | None]:
    """1 - cosine of a unit's input and output, mean over the examples x (N, ...); None where the shapes differ."""
    found: dict[str, float | None] = dict.fromkeys(names)
    handles = [edited.gates[name].inside.register_forward_hook(_listen(found, name)) for name in names]
    modes = [(module, module.training) for module in edited.modules()]
    edited.eval()
    try:
        edited(x.to(next(edited.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return found


def _listen(found: dict[str, float | None], name: str) -> Any:
    def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        x = inputs[0] if inputs else None
        y = output[0] if isinstance(output, (tuple, list)) else output
        if isinstance(x, Tensor) and isinstance(y, Tensor) and x.shape == y.shape:
            found[name] = 1.0 - float(F.cosine_similarity(x.flatten(1).float(), y.flatten(1).float()).mean())

    return hook


def _value(net: nn.Module, split: Split, batches: Batches, metric: Metric, device: torch.device) -> float:
    net = copy.deepcopy(net).to(device)
    if not net.training:  # given in eval mode as a whole; single frozen modules keep their flag
        net.train()
    refresh_batch_norm(net, (batches.at(step)[0] for step in range(40)))
    return metric.value(predict(net, split.valid.x, device), split.valid.y)
