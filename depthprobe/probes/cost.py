"""What a probe costs: forecast before training, reported after, in units of one conventional training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from depthprobe.probes.arms import trace_distance
from depthprobe.probes.bench import Plan
from depthprobe.probes.places import leave_alone
from depthprobe.schedules import Schedule


@dataclass(frozen=True)
class Span:
    """Seconds of one thing, of the base network and of the deepest; between them in proportion to the MACs."""

    base: float
    deepest: float

    def at(self, share: float) -> float:
        """Seconds when `share` (0..1) of the added multiply-accumulates are in."""
        return self.base + share * (self.deepest - self.base)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Seconds on this machine, timed. gated: an update of the walk, gates at rest; ramping: what an update costs more
    while gates ramp; plain: an update of a settled network; score: BatchNorm re-estimated and all validation examples
    scored; glance: a trace point; branch: settling, with a new optimizer; save: a checkpoint; begin: an arm's network
    built; finish: from the last measurement to the written answer.
    """

    gated: Span
    ramping: float
    plain: Span
    score: Span
    glance: Span
    branch: float
    save: float
    begin: float
    finish: float


@dataclass(frozen=True)
class Forecast:
    """updates of all arms; trainings: the cost in units of one conventional training of the deepest candidate, by
    multiply-accumulates; seconds: timed on this machine (None when not timed).
    """

    updates: int
    trainings: float
    seconds: float | None


def forecast(plan: Plan, seeds: int, prices: Prices | None = None, *, rates: int = 1) -> Forecast:
    """Cost of a whole grow probe. rates: how many learning rates the answer is asked at."""
    deepest = plan.candidates[-1].macs
    updates, work, seconds = 0, 0.0, 0.0
    schedules = [plan.schedule(rank) for rank in range(seeds)]
    for rank, schedule in enumerate(schedules):
        cooled = branches(plan, rank)
        updates += schedule.steps + sum(steps for steps, _ in cooled) + plan.updates
        work += schedule.steps * mean_macs(plan, schedule) + sum(steps * macs for steps, macs in cooled)
        work += plan.updates * plan.base.macs
        if prices is not None:
            seconds += _grow_seconds(plan, schedule, cooled, prices) + _control_seconds(plan, schedule, prices)
    trainings = rates * work / (plan.steps * deepest)
    total = None if prices is None else rates * seconds + prices.finish
    return Forecast(rates * updates, trainings, total)


def _grow_seconds(plan: Plan, schedule: Schedule, cooled: Sequence[tuple[int, int]], prices: Prices) -> float:
    walk = _share(plan, mean_macs(plan, schedule))
    traces = schedule.steps / trace_distance(schedule.steps) + len(cooled)
    seconds = schedule.steps * prices.gated.at(walk) + ramping_steps(schedule) * prices.ramping
    seconds += traces * prices.glance.at(walk) + prices.begin
    for steps, macs in cooled:
        share = _share(plan, macs)
        seconds += steps * prices.plain.at(share) + prices.score.at(share) + prices.branch + 1.5 * prices.save
    return seconds


def _control_seconds(plan: Plan, schedule: Schedule, prices: Prices) -> float:
    steps = schedule.steps + plan.cool
    seconds = steps * prices.plain.base + steps / trace_distance(schedule.steps) * prices.glance.base
    return seconds + prices.score.base + prices.branch + prices.begin + 2 * prices.save


def _share(plan: Plan, macs: float) -> float:
    base, deepest = plan.candidates[0].macs, plan.candidates[-1].macs
    return (macs - base) / max(1, deepest - base)


def ramping_steps(schedule: Schedule) -> int:
    """Steps at which some gate moves."""
    steps, end = 0, 0
    for ramp in sorted(schedule.ramps, key=lambda ramp: ramp.start):
        begin, until = max(end, ramp.start), ramp.start + ramp.length
        steps, end = steps + max(0, until - begin), max(end, until)
    return steps


def mean_macs(plan: Plan, schedule: Schedule) -> float:
    """Mean multiply-accumulates of one example over the walk, what is skipped not counted."""
    pairs = zip(plan.gates, plan.gate_macs, strict=True)
    return plan.candidates[0].macs + sum(schedule.mean_ratio(gate) * macs for gate, macs in pairs)


def cooled_macs(plan: Plan, rank: int) -> tuple[list[int], list[int]]:
    """Multiply-accumulates of every network that one seed cools: on the way up, and down again from the deepest."""
    closing, cost = plan.closing_gates(rank), dict(zip(plan.gates, plan.gate_macs, strict=True))
    base = plan.candidates[0].macs
    up = [base + sum(plan.gate_macs[:opened]) for opened in plan.opened[:-1]]
    down = [base + sum(cost[g] for g in closing[len(closing) - opened :]) for opened in plan.opened]
    return up, down


def branches(plan: Plan, rank: int) -> list[tuple[int, int]]:
    """Updates and multiply-accumulates of every branch that one seed cools; of places alone, of their closing too."""
    up, down = cooled_macs(plan, rank)
    cooled = [*((plan.up_cool, macs) for macs in up), *((plan.cool, macs) for macs in down)]
    cost = dict(zip(plan.gates, plan.gate_macs, strict=True))
    for place in plan.places:
        alone = plan.candidates[0].macs + sum(cost[gate] for gate in place.gates)
        closing = leave_alone(place, plan.gates, plan.closing_gates(rank), 0, plan.lengths).steps
        cooled += [(closing, (down[-1] + alone) // 2), (plan.cool, alone)]
    return cooled


def verify_macs(depth: Mapping[str, Any]) -> dict[str, int]:
    """Multiply-accumulates of one example in the networks of `--verify`, by arm; depth: of the recommendation."""
    macs = {row["depth"]: row["macs"] for row in depth["candidates"]}
    advised = depth["current"] if depth["recommended"] is None else depth["recommended"]
    return {"verify current": macs[depth["current"]], "verify advised": macs[advised]}


def cost_json(
    plan: Plan,
    seeds: int,
    records: Sequence[dict[str, Any]],
    seconds: float,
    *,
    rates: int = 1,
    verified: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The `cost` part of a recommendation, from what was really trained. verified: multiply-accumulates of one example
    in the networks trained from scratch, by arm.
    """
    planned = forecast(plan, seeds, rates=rates)
    done = [r for r in records if r["kind"] == "arm"]
    steps = sum(r["updates"] for r in done)
    scratch = [r for r in done if r["arm"] in (verified or {})]
    walked = steps - sum(r["updates"] for r in scratch)
    extra = sum(r["updates"] * (verified or {})[r["arm"]] for r in scratch) / (plan.steps * plan.candidates[-1].macs)
    return {
        "steps": steps,
        "sample_passes": sum(r["samples"] for r in done),
        "wall_seconds": round(seconds, 1),
        "trainings": round(planned.trainings * walked / max(1, planned.updates) + extra, 2),
    }
