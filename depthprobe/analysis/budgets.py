"""Points on a curve that a budget allows, and those that no other point beats."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from depthprobe.counting import number_of
from depthprobe.errors import ConfigError

FASTER = 0.8  # of the share of multiply-accumulates that went, the share of time that should go
UNMET = "no measured network fits the budget"
COSTS = ("params", "macs", "latency_ms")

Row = Mapping[str, Any]


def pareto(rows: Sequence[Row], costs: Sequence[str] = COSTS) -> list[bool]:
    """Whether no other row is at least as good in value and all costs, and better in one. rows: value and costs."""
    return [not any(_beats(other, row, costs) for other in rows if other is not row) for row in rows]


def _beats(one: Row, other: Row, costs: Sequence[str]) -> bool:
    worse = one["value"] < other["value"] or any(one[cost] > other[cost] for cost in costs)
    better = one["value"] > other["value"] or any(one[cost] < other[cost] for cost in costs)
    return better and not worse


def fits(row: Row, limits: Mapping[str, float]) -> bool:
    """Whether a row meets the ceilings and keeps what is to be kept."""
    ceilings = {name.removeprefix("max_"): limit for name, limit in limits.items() if name.startswith("max_")}
    return all(row[cost] <= limit for cost, limit in ceilings.items()) and (
        row["value"] >= limits.get("keep_accuracy", -math.inf)
    )


def choose_within(rows: Sequence[Row], limits: Mapping[str, float], slack: float) -> int:
    """Index of the row that a budget chooses, where it forbids what the rule advises.

    rows: candidates, ascending in size, with value, params, macs and latency_ms. limits: max_params, max_macs,
    max_latency_ms and keep_accuracy, those that were set. With keep_accuracy the smallest that keeps it; else the
    smallest within `slack` of the best that fits. Raises ConfigError naming the closest candidate where none fits.
    """
    good = [index for index, row in enumerate(rows) if fits(row, limits)]
    if good and "keep_accuracy" in limits:
        return good[0]
    if good:
        best = max(rows[index]["value"] for index in good)
        return next(index for index in good if best - rows[index]["value"] <= slack)
    ceilings = {name: limit for name, limit in limits.items() if name != "keep_accuracy"}
    affordable = [row for row in rows if fits(row, ceilings)]
    closest = max(affordable, key=lambda row: row["value"]) if affordable else rows[0]
    raise ConfigError(
        UNMET,
        where=", ".join(f"--{name.replace('_', '-')} {say_limit(limit)}" for name, limit in limits.items()),
        found=f"the closest: {describe(closest)}",
        hint="a wider budget, or candidates further down",
    )


def say_limit(limit: float) -> str:
    """A limit as people write it."""
    return f"{limit:,.0f}" if limit == int(limit) else f"{limit:g}"


def name_candidate(row: Row) -> str:
    """What a candidate is called: "3 layers" by its depth, "40 % of the channels" by its ratio."""
    return f"{100 * row['ratio']:.0f} % of the channels" if "ratio" in row else number_of(row["depth"], "layer")


def describe(row: Row) -> str:
    """A candidate in words."""
    return (
        f"{name_candidate(row)}, {row['params']:,} parameters, {row['macs']:,} MACs, {row['latency_ms']:.2f} ms, "
        f"value {row['value']:.3f}"
    )


def compare_speed(before: Row, after: Row) -> dict[str, Any] | None:
    """What a smaller network gains in measured time; None where nothing went. macs_saved, time_saved: shares;
    as_promised: whether the time fell at least FASTER times as much.
    """
    if before is after or not before["macs"] or not before["latency_ms"]:
        return None
    saved, gained = 1 - after["macs"] / before["macs"], 1 - after["latency_ms"] / before["latency_ms"]
    return {
        "before": before["latency_ms"],
        "after": after["latency_ms"],
        "macs_saved": saved,
        "time_saved": gained,
        "as_promised": gained >= FASTER * saved,
    }


def say_speed(speed: Mapping[str, Any]) -> str:
    """`compare_speed` in words."""
    text = (
        f"{speed['before']:.2f} -> {speed['after']:.2f} ms per batch ({100 * speed['time_saved']:.0f} % less) "
        f"for {100 * speed['macs_saved']:.0f} % fewer multiply-accumulates"
    )
    return text if speed["as_promised"] else f"{text}: less than they promise, what is left or overhead takes the time"


def accelerates_at(depths: Sequence[int], values: Sequence[float], least: float) -> int | None:
    """The smallest depth before the curve falls away: where the loss per layer grows the most, going down; None where
    it never grows by more than `least`.

    depths: ascending; values: of the metric.
    """
    losses = [(values[i + 1] - values[i]) / (depths[i + 1] - depths[i]) for i in range(len(depths) - 1)]
    growth = [losses[i] - losses[i + 1] for i in range(len(losses) - 1)]
    if not growth or max(growth) <= least:
        return None
    return depths[growth.index(max(growth)) + 1]
