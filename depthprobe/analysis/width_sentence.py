"""The answer of a width probe in one plain sentence."""

from collections.abc import Mapping, Sequence

from depthprobe.analysis.decision import Decision
from depthprobe.analysis.units import Units

NAMED = 6  # units, at most


def say_width(
    decision: Decision,
    changes: Sequence[Mapping[str, int | str]],
    *,
    units: Units,
    seeds: int,
    failed_seeds: int,
    uneven: bool = False,
    sentence: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Say a decision on the percent of the channels. changes: of the units that become narrower, name, current and
    recommended width. seeds: how many were trained; failed_seeds: how many of them failed. uneven: units have
    not all the same share of their channels, the percent is that of equal ones which cost as much. sentence: of a
    budget, which it begins with; notes: what it ends with.
    """
    if sentence is not None:
        parts = [sentence.removesuffix(".")]
    elif decision.verdict == "shrink":
        parts = [_narrow(decision, units, uneven)]
    else:
        parts = [_keep(decision, units) if decision.verdict == "keep" else _inconclusive(decision, units)]
    if changes:
        named = [f"{row['name']}: {row['current']} -> {row['recommended']}" for row in changes]
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        parts.append(", ".join(named[:NAMED]) + more)
    if failed_seeds:
        parts.append(f"{failed_seeds} of {seeds} seeds failed")
    return "; ".join([*parts, *notes]) + "."


def say_narrowing(verdict: str, after: int, uneven: bool) -> str:
    """A step of width, as a budget's sentence has it. after: percent of the channels."""
    if verdict == "keep":
        return "keep the width"
    return f"narrow to {'the cost of ' if uneven else ''}{after} % of the channels"


def reasons_of_width(decision: Decision) -> list[str]:
    """Its reasons; the rule speaks of depths."""
    return [reason.replace("depth", "width").replace("deeper", "wider") for reason in decision.reasons]


def name_percent(decision: Decision) -> str:
    """The advised percent, or the best guess, with what resamples name: "40 % (30-50 % in 95 % of resamples)"."""
    text = f"{decision.best_guess} %"
    if decision.range95 is None:
        return text
    low, high = decision.range95
    return f"{text} ({low if low == high else f'{low}-{high}'} % in 95 % of resamples)"


def _narrow(decision: Decision, units: Units, uneven: bool) -> str:
    before, after = (_value(decision, percent, units) for percent in (decision.current, decision.best_guess))
    return (
        f"{say_narrowing('narrow', decision.best_guess, uneven).capitalize()}: {units.metric} {before} -> {after}, "
        f"within the tolerance of {units.size(decision.tolerance)} of the best; {name_percent(decision)}"
    )


def _keep(decision: Decision, units: Units) -> str:
    return (
        f"Keep the width: no narrower network is surely as good; {units.metric} "
        f"{_value(decision, decision.current, units)}; {name_percent(decision)}"
    )


def _inconclusive(decision: Decision, units: Units) -> str:
    reasons = reasons_of_width(decision)
    text = f"Inconclusive: {', '.join(reasons) or 'the data do not decide'}"
    if len(decision.depths) > 1:
        text += f"; the best guess is {name_percent(decision)}, and as measured these data resolve "
        text += f"{units.size(decision.resolution)} of {units.metric} at best"
    return text


def _value(decision: Decision, percent: int, units: Units) -> str:
    return units.value(decision.candidates[decision.depths.index(percent)].value)
