"""The answer in one plain sentence."""

from collections.abc import Sequence

from depthprobe.analysis.decision import Decision
from depthprobe.analysis.units import Units
from depthprobe.counting import number_of


def say(
    decision: Decision,
    *,
    unit: str = "layer",
    metric: str = "accuracy",
    seeds: int,
    failed_seeds: int,
    notes: Sequence[str] = (),
    fraction: bool = True,
) -> str:
    """Say a decision: verdict, effect with its interval, depth with its resampling range, failed seeds.

    unit: what depth counts, singular. metric: its name; fraction: its values are fractions and differences are
    printed in points (hundredths), else as plain numbers. seeds: how many were trained; failed_seeds: how many of
    them failed. notes: short facts to add to the sentence, such as "diverged at p = 0.8".
    """
    units = Units(metric=metric, fraction=fraction, tolerance=decision.tolerance)
    parts = [_VERDICTS[decision.verdict](decision, unit, units)]
    if failed_seeds:
        parts.append(f"{failed_seeds} of {seeds} seeds failed")
    parts += notes
    return "; ".join(parts) + "."


def _deepen(decision: Decision, unit: str, units: Units) -> str:
    change = _change(decision, decision.best_guess, units)
    return (
        f"Deepen from {decision.current} to {number_of(decision.best_guess, unit)}: {change}"
        f" (gain {_interval(decision, units)}"
        f" and {units.signed(decision.gain_over_control.value)} over the control); {_named(decision, unit)}"
    )


def _shrink(decision: Decision, unit: str, units: Units) -> str:
    change = _change(decision, decision.best_guess, units)
    return (
        f"Shrink from {decision.current} to {number_of(decision.best_guess, unit)}: {change},"
        f" within the tolerance of {units.size(decision.tolerance)} of the best; {_named(decision, unit)}"
    )


def _keep(decision: Decision, unit: str, units: Units) -> str:
    if decision.explained_by_control:
        why = f"deeper gains {_interval(decision, units)}, but so does training longer at this depth"
    elif decision.current == decision.depths[-1]:
        why = "no smaller depth is surely as good, and nothing deeper was measured"
    elif decision.gain.high <= 0.0:
        why = "no deeper network measured better"
    else:
        why = f"nothing to gain above the tolerance of {units.size(decision.tolerance)}"
        why += f", deeper brings {_interval(decision, units)}"
    here = _value(decision, decision.current)
    return (
        f"Keep {number_of(decision.current, unit)}: {why}; {units.metric} {units.value(here)}; {_named(decision, unit)}"
    )


def _inconclusive(decision: Decision, unit: str, units: Units) -> str:
    why = ", ".join(decision.reasons) or "the data do not decide"
    text = f"Inconclusive: {why}"
    if len(decision.depths) > 1:
        text += f"; the best guess is {_named(decision, unit)}, and as measured these data resolve"
        text += f" {units.size(decision.resolution)} of {units.metric} at best"
    return text


_VERDICTS = {"deepen": _deepen, "keep": _keep, "shrink": _shrink, "inconclusive": _inconclusive}


def _named(decision: Decision, unit: str) -> str:
    depth = number_of(decision.best_guess, unit)
    if decision.range95 is None:
        return depth
    low, high = decision.range95
    span = str(low) if low == high else f"{low}-{high}"
    return f"{depth} ({span} in 95 % of resamples)"


def _change(decision: Decision, depth: int, units: Units) -> str:
    before, after = (units.value(_value(decision, layers)) for layers in (decision.current, depth))
    return f"{units.metric} {before} -> {after}"


def _value(decision: Decision, depth: int) -> float:
    return decision.candidates[decision.depths.index(depth)].value


def _interval(decision: Decision, units: Units) -> str:
    gain = decision.gain
    low, high = units.signed(gain.low, unit=False), units.signed(gain.high, unit=False)
    return f"{units.signed(gain.value)}, {100 * decision.confidence:.3g} % interval {low} to {high}"
