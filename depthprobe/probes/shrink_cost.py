"""What a shrink probe costs, in units of one conventional training of the whole network, by multiply-accumulates."""

from collections.abc import Mapping, Sequence
from typing import Any

from depthprobe.probes.bench import Bench
from depthprobe.probes.cost import Forecast, mean_macs
from depthprobe.probes.shrink_arms import AT, LOOK, branched
from depthprobe.probes.shrink_plan import ShrinkPlan
from depthprobe.probes.teaching import prepared_macs, taught_macs


def forecast_shrink(plan: ShrinkPlan, seeds: int, taught: float) -> Forecast:
    """Before training: the whole network trained on, the walk, long branches of two candidates in the middle. taught:
    cost of the teacher in an update, in multiply-accumulates of one example.
    """
    schedule, smaller = plan.schedule(0), plan.candidates[:-1]
    middle = smaller[max(0, len(smaller) // 2 - 1) :][:2] or smaller
    looks = plan.cool * len(plan.candidates)
    branches = seeds * plan.branch
    updates = schedule.steps + looks + branches * len(middle) + plan.updates
    work = schedule.steps * mean_macs(plan, schedule) + plan.cool * sum(c.macs for c in plan.candidates)
    work += branches * sum(c.macs for c in middle) + plan.updates * plan.base.macs
    work += (schedule.steps + looks + branches * len(middle)) * taught
    return Forecast(updates, work / (plan.steps * plan.base.macs), None)


def shrink_cost(
    bench: Bench[ShrinkPlan],
    records: Sequence[Mapping[str, Any]],
    seconds: float,
    *,
    verified: Mapping[str, int],
) -> dict[str, Any]:
    """The `cost` part of a recommendation, from what was really trained. verified: multiply-accumulates of one example
    in the networks trained from scratch, by arm.
    """
    plan, done = bench.plan, [r for r in records if r["kind"] == "arm"]
    work = prepared_macs(bench) + sum(_work(plan, records, arm, verified) for arm in done)
    work += taught_macs(bench) * sum(r["updates"] for r in done if r["arm"] == "shrink" or r["arm"].startswith(AT))
    return {
        "steps": sum(r["updates"] for r in done),
        "sample_passes": sum(r["samples"] for r in done),
        "wall_seconds": round(seconds, 1),
        "trainings": round(work / (plan.steps * plan.base.macs), 2),
    }


def _work(
    plan: ShrinkPlan, records: Sequence[Mapping[str, Any]], arm: Mapping[str, Any], verified: Mapping[str, int]
) -> float:
    """Multiply-accumulates of one example, times updates, in one arm."""
    updates = int(arm["updates"])
    if arm["arm"] in verified:
        return float(updates * verified[arm["arm"]])
    if arm["arm"].startswith(AT):
        return float(updates * plan.candidates[plan.opened.index(branched(plan, arm["arm"]))].macs)
    if arm["arm"] != "shrink":
        return float(updates * plan.base.macs)
    looks = [r for r in records if (r["kind"], r["seed"], r.get("walk")) == ("measurement", arm["seed"], LOOK)]
    cooled = sum(plan.candidates[plan.opened.index(r["opened"])].macs for r in looks)
    return plan.cool * cooled + _walked(plan, updates - plan.cool * len(looks))


def _walked(plan: ShrinkPlan, steps: int) -> float:
    """The same of the first `steps` updates of the walk."""
    costs = dict(zip(plan.gates, plan.gate_macs, strict=True))
    work = float(steps * plan.base.macs)
    for ramp in plan.schedule(0).ramps:
        moved = min(max(0, steps - ramp.start), ramp.length)
        out = max(0, steps - ramp.start - ramp.length)
        work -= costs[ramp.gate] * (moved**2 / (2 * ramp.length) + out)
    return work
