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
CONTROL, CHECKPOINT = "control", "checkpoint"  # what the present network counts as
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


def count_kept(
    decision: Decision,
    rows: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float],
    bounds: Bounds,
    *,
    checkpoint: float | None = None,
    control: bool = True,
    alike: int = 1,
) -> tuple[list[dict[str, Any]], str | None]:
    """(the rows, what the present network counts as: CONTROL, CHECKPOINT; None: as the rule has it). Under
    `--keep-accuracy` it counts as a network that exists: as it was trained on, where that is better than it was before.

    bounds: of the metric, which an interval does not leave; checkpoint: the metric before any training (None: what the
    row has); control: whether it was trained on to the end; alike: how many rows are the present network, the current
    one and those before it (2: with its idle units, and without).
    """
    if "keep_accuracy" not in limits:
        return [dict(row) for row in rows], None
    here = decision.depths.index(decision.current)
    row, estimate = rows[here], decision.control
    before = row["value"] if checkpoint is None else checkpoint
    better = control and estimate.value > before
    if not better:
        shift = before - row["value"]
        estimate = Estimate(value=before, low=row["low"] + shift, high=row["high"] + shift)
    least, most = (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])
    found = {"value": estimate.value, "low": max(least, estimate.low), "high": min(most, estimate.high)}
    same = range(here - alike + 1, here + 1)
    changed = [{**other, **found} if index in same else dict(other) for index, other in enumerate(rows)]
    return changed, CONTROL if better else CHECKPOINT


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


def _short(decision: Decision, say_change: SayChange) -> str:
    best = decision.best_guess
    if decision.verdict == "inconclusive":
        return f"inconclusive, best guess {best}"
    return say_change(decision.verdict, decision.current, best)
