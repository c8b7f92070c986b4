"""Widths without training: every unit alone, all together, and the paper's random channels as a reference."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

import torch
from torch import nn

from depthprobe.inputs import Split
from depthprobe.probes.width_plan import WidthPlan
from depthprobe.surgery.channels import Channels
from depthprobe.surgery.narrowing import cut_to
from depthprobe.training.batches import Batches, mix_seed
from depthprobe.training.learner import predict, refresh_batch_norm
from depthprobe.training.metrics import Metric, Scored

CHOSEN_ON = 512  # training examples that channels are chosen on
MEASURED = 100  # measurements of units alone, at most
DRAWS = 3  # of random channels
NORM_BATCHES = 40


@dataclass(frozen=True, kw_only=True)
class Untrained:
    """What a trained network is worth with fewer channels, not trained on. whole: as it is; equal, uneven: percent (as
    text) -> metric, all units together ({}: not asked for); alone: unit -> rows of width, value, low, high, ascending;
    together: rows of ratio, value and bernoulli (random channels) at the widths of the plan, ascending.
    """

    whole: float
    equal: Mapping[str, float]
    uneven: Mapping[str, float]
    alone: Mapping[str, Sequence[Mapping[str, Any]]]
    together: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "whole": self.whole,
            "equal": dict(self.equal),
            "uneven": dict(self.uneven),
            "alone": dict(self.alone),
            "together": list(self.together),
        }


def calibration(split: Split, device: torch.device) -> torch.Tensor:
    """The training examples that channels are chosen on, on the device."""
    return split.train.x[:CHOSEN_ON].to(device)


def measure_untrained(scale: "Scale", equal: Mapping[str, float], uneven: Mapping[str, float]) -> Untrained:
    """Narrow copies, re-estimate BatchNorm, measure; deterministic. equal, uneven: what was measured before."""
    plan = scale.plan
    percents = [percent for percent in plan.opened if percent < 100]
    every = -(-len(plan.units) * len(percents) // MEASURED)
    alone = {}
    for unit in plan.units:
        widths = sorted({plan.widths[percent][unit.unit] for percent in percents[::every]} - {unit.width})
        alone[unit.unit] = [{"width": width, **scale.measure({unit.unit: width})} for width in widths]
    known = uneven if plan.profile == "uneven" else equal
    together = [
        {
            "ratio": percent / 100,
            "value": known[str(percent)],
            "bernoulli": fmean(scale.draw(plan.widths[percent], draw) for draw in range(DRAWS)),
        }
        for percent in percents
    ]
    whole = scale.measure({})["value"]
    return Untrained(whole=whole, equal=equal, uneven=uneven, alone=alone, together=together)


@dataclass(frozen=True)
class Scale:
    """Weighs narrower copies of one network."""

    network: nn.Module
    plan: WidthPlan
    split: Split
    batches: Batches
    metric: Metric
    device: torch.device
    confidence: float

    def measure(self, widths: Mapping[str, int]) -> dict[str, float]:
        """The metric with these widths, the channels chosen as in the walk."""
        net = cut_to(self.network, self.plan.units, widths, calibration(self.split, self.device)).network
        scored = self._score(net)
        margin = (
            NormalDist().inv_cdf((1 + self.confidence) / 2) * float(scored.scores.std()) / len(scored.scores) ** 0.5
        )
        least, most = self.metric.bounds
        low, high = scored.value - margin, scored.value + margin
        low = low if least is None else max(least, low)
        return {"value": scored.value, "low": low, "high": high if most is None else min(most, high)}

    def measure_all(self, widths: Mapping[int, Mapping[str, int]]) -> dict[str, float]:
        """Percent, as text -> the metric with the widths of that percent."""
        return {str(percent): self.measure(rows)["value"] for percent, rows in widths.items() if percent < 100}

    def draw(self, widths: Mapping[str, int], draw: int) -> float:
        """The metric with as many channels, drawn, and what reads them scaled up as dropout does."""
        dice = torch.Generator().manual_seed(mix_seed(draw, 7))
        scaled = copy.deepcopy(self.network)
        for unit in self.plan.units:
            _scale_up(scaled, unit, unit.width / widths[unit.unit])
        net = cut_to(
            scaled, self.plan.units, widths, self.split.train.x[:2].to(self.device),
            choose=lambda unit, keep: torch.randperm(unit.width, generator=dice)[:keep].tolist(),
        ).network  # fmt: skip
        return self._score(net).value

    def _score(self, net: nn.Module) -> Scored:
        if not net.training:  # given in eval mode as a whole; single frozen modules keep their flag
            net.train()
        refresh_batch_norm(net, (self.batches.at(step)[0] for step in range(NORM_BATCHES)))
        return self.metric.score(predict(net, self.split.valid.x, self.device), self.split.valid.y)


def _scale_up(network: nn.Module, unit: Channels, factor: float) -> None:
    for reader in unit.readers:
        layer = network.get_submodule(reader.name)
        weight = layer.get_parameter("weight").data
        rows = weight if getattr(layer, "transposed", False) else weight.transpose(0, 1)
        rows[reader.places.flatten().to(weight.device)] *= factor
