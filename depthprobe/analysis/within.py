"""An answer under a budget: the best point of the curve that the limits allow, whatever the rule would advise."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from depthprobe.analysis.budgets import choose_within, fits, name_candidate, say_limit
from depthprobe.analysis.choice import POINT_SHARE
from depthprobe.analysis.decision import Decision, Estimate, Verdict
from depthprobe.analysis.units import Units
from depthprobe.counting import number_of
from depthprobe.errors import ConfigError

Bounds = tuple[float | None, float | None]
SayChange = Callable[[str, int, int], str]


def say_depth(verdict: str, before: int, after: int) -> str:
    """A step of depth, as a budget's sentence has it."""
    layers = number_of(after, "layer")
    return f"keep {layers}" if verdict == "keep" else f"{verdict} from {before} to {layers}"


def decide_within(
    decision: Decision,
    rows: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float],
    units: Units,
    say_change: SayChange = say_depth,
) -> tuple[Decision, str | None]:
    """(decision that a budget makes of `decision`, its sentence). rows: the candidates with their costs, as in
    recommendation.json; limits: those that were set, at least one; say_change: how a step is called.

    Where the advice fits it stands (sentence None). Where nothing fits the decision is inconclusive and the sentence
    names the closest.
    """
    here = decision.depths.index(decision.current)
    advised = rows[decision.depths.index(decision.recommended)] if decision.recommended is not None else None
    if advised is not None and fits(advised, limits) and "keep_accuracy" not in limits:
        return decision, None
    unlimited = f"without a budget these measurements say: {_short(decision, say_change)}"
    try:
        index = choose_within(rows, limits, POINT_SHARE * decision.tolerance)
    except ConfigError as error:
        reason = f"{error.what} ({say_limits(limits)}); {error.found}"
        changed = replace(decision, verdict="inconclusive", recommended=None, reasons=(reason,))
        return changed, f"Inconclusive: {reason}; {unlimited}."
    depth, row = decision.depths[index], rows[index]
    verdict: Verdict = "keep" if depth == decision.current else "deepen" if depth > decision.current else "shrink"
    before = rows[here]["value"]
    sentence = (
        f"Within {say_limits(limits)} {say_change(verdict, decision.current, depth)}: {units.metric} "
        + (f"{units.value(before)} -> " if verdict != "keep" else "")
        + f"{units.value(row['value'])} ({units.value(row['low'])} to {units.value(row['high'])}), "
        f"{row['params']:,} parameters, {row['macs']:,} multiply-accumulates, {row['latency_ms']:.2f} ms; {unlimited}."
    )
    return replace(decision, verdict=verdict, recommended=depth, best_guess=depth, reasons=()), sentence


def count_control(
    decision: Decision, rows: Sequence[Mapping[str, Any]], limits: Mapping[str, float], bounds: Bounds
) -> tuple[list[dict[str, Any]], bool]:
    """(the rows, whether the present network counts there as what its control has): under `--keep-accuracy`, where
    that is more. Trained as long as the others it keeps what it has, and then it is the network that stays.

    bounds: of the metric, which an interval does not leave.
    """
    here = decision.depths.index(decision.current)
    if "keep_accuracy" not in limits or decision.control.value <= rows[here]["value"]:
        return [dict(row) for row in rows], False
    changed = {**rows[here], **_estimated(decision.control, bounds)}
    return [dict(row) for row in (*rows[:here], changed, *rows[here + 1 :])], True


def check_reachable(rows: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> None:
    """Raise ConfigError where no candidate meets the limits that are known before training. rows: with depth, params
    and macs (or ratio in the place of depth), ascending in size.
    """
    for name in ("params", "macs"):
        limit, least = limits.get(f"max_{name}"), min(rows, key=lambda row: row[name])
        if limit is not None and least[name] > limit:
            what = {"params": "parameters", "macs": "multiply-accumulates"}[name]
            raise ConfigError(
                "no network of this probe fits the budget",
                where=f"--max-{name} {say_limit(limit)}",
                found=f"the smallest, of {name_candidate(least)}, has {least[name]:,} {what}",
                hint=f"--max-{name} {least[name]}",
            )


def say_limits(limits: Mapping[str, float]) -> str:
    """The limits as options."""
    return ", ".join(f"--{name.replace('_', '-')} {say_limit(limit)}" for name, limit in limits.items())


def _estimated(estimate: Estimate, bounds: Bounds) -> dict[str, float]:
    low, high = (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])
    return {"value": estimate.value, "low": max(low, estimate.low), "high": min(high, estimate.high)}


def _short(decision: Decision, say_change: SayChange) -> str:
    best = decision.best_guess
    if decision.verdict == "inconclusive":
        return f"inconclusive, best guess {best}"
    return say_change(decision.verdict, decision.current, best)
