"""What a probe costs: forecast before training, reported after, in units of one conventional training."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes.arms import TRACE_EXAMPLES, TRACES
from depthprobe.probes.plan import GrowPlan, candidate_net, grown
from depthprobe.schedules import Schedule
from depthprobe.training.batches import Batches
from depthprobe.training.learner import Learner

TIMED_STEPS = 6


@dataclass(frozen=True)
class Forecast:
    """updates of all arms; trainings: the cost in units of one conventional training of the deepest candidate, by
    multiply-accumulates; seconds: timed on this machine (None when not timed).
    """

    updates: int
    trainings: float
    seconds: float | None


def forecast(
    plan: GrowPlan, seeds: int, step_seconds: tuple[float, float] | None, *, valid: int = 0, batch_size: int = 64
) -> Forecast:
    """Cost of a whole grow probe. step_seconds: of one update of the base and of the deepest network; valid: examples
    scored at every measurement (a forward pass is taken as a third of an update).
    """
    base, deepest = plan.candidates[0].macs, plan.candidates[-1].macs
    updates, work = 0, 0.0
    for rank in range(seeds):
        schedule = plan.schedule(rank)
        up, down = cooled_macs(plan, rank)
        updates += 2 * schedule.steps + plan.cool * (len(down) + 1) + plan.up_cool * len(up)
        work += schedule.steps * mean_macs(plan, schedule) + plan.cool * sum(down) + plan.up_cool * sum(up)
        work += plan.updates * base
    trainings = work / (plan.steps * deepest)
    seconds = None
    if step_seconds is not None:
        fast, slow = step_seconds
        per_mac = (slow - fast) / max(1, deepest - base)
        seconds = updates * (fast - per_mac * base) + work * per_mac
        seconds = max(seconds, updates * min(fast, slow))
        scored = seeds * (2 * len(plan.candidates) * valid + 2 * TRACES * min(valid, TRACE_EXAMPLES))
        seconds *= 1.0 + scored / (3.0 * batch_size * updates)
    return Forecast(updates, trainings, seconds)


def mean_macs(plan: GrowPlan, schedule: Schedule) -> float:
    """Mean multiply-accumulates of one example over the walk, what is skipped not counted."""
    pairs = zip(plan.gates, plan.gate_macs, strict=True)
    return plan.candidates[0].macs + sum(schedule.mean_ratio(gate) * macs for gate, macs in pairs)


def cooled_macs(plan: GrowPlan, rank: int) -> tuple[list[int], list[int]]:
    """Multiply-accumulates of every network that one seed cools: on the way up, and down again from the deepest."""
    closing, cost = plan.closing_gates(rank), dict(zip(plan.gates, plan.gate_macs, strict=True))
    base = plan.candidates[0].macs
    up = [base + sum(plan.gate_macs[:opened]) for opened in plan.opened[:-1]]
    down = [base + sum(cost[g] for g in closing[len(closing) - opened :]) for opened in plan.opened]
    return up, down


def time_steps(
    model: nn.Module,
    plan: GrowPlan,
    batches: Batches,
    train: TrainConfig,
    accelerator: Any,
    own: Overrides | None = None,
) -> tuple[float, float]:
    """Seconds of one update of the base and of the deepest network, medians; nothing is kept."""
    with torch.random.fork_rng(devices=[]):
        edited = grown(model, plan.edits, batches.at(0)[0][:2].cpu(), 0)
        return tuple(  # type: ignore[return-value]
            _time(candidate_net(edited, plan.gates[:opened]), batches, train, accelerator, own)
            for opened in (0, plan.candidates[-1].opened)
        )


def _time(
    net: nn.Module, batches: Batches, train: TrainConfig, accelerator: Any, own: Overrides | None = None
) -> float:
    learner = Learner(net, batches, train, accelerator, own)
    times = []
    for _ in range(TIMED_STEPS):
        begin = time.perf_counter()
        learner.run(learner.step + 1, lambda step: 0.0)
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2]


def cost_json(plan: GrowPlan, config: GrowConfig, records: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """The `cost` part of a recommendation, from what was really trained."""
    planned = forecast(plan, config.seeds, None)
    done = [r for r in records if r["kind"] == "arm"]
    steps = sum(r["updates"] for r in done)
    return {
        "steps": steps,
        "sample_passes": sum(r["samples"] for r in done),
        "wall_seconds": round(seconds, 1),
        "trainings": round(planned.trainings * steps / max(1, planned.updates), 2),
    }
