"""Several runs side by side: a table, and their curves in one figure for every metric."""

from collections.abc import Sequence
from functools import partial

from depthprobe.reports.compare_figure import draw_comparison
from depthprobe.reports.costs import at
from depthprobe.reports.exhibit import Exhibit
from depthprobe.reports.measured import Candidate, DepthCurve
from depthprobe.reports.numbers import capital, count, fraction, milliseconds, percent, scaled
from depthprobe.reports.tables import Table, plain
from depthprobe.reports.view import RunView

HEADS = (
    "Run",
    "Verdict",
    "Depth or width",
    "Metric\nwith its interval",
    "Parameters",
    "MACs\nper example",
    "Latency\nms per batch",
    "Cost\ntrainings",
)


def comparison_table(views: Sequence[RunView]) -> Table:
    """One row per run: the answer, and what the advised network (or the best guess) is worth and costs."""
    rows = [(label, *_answer(view)) for label, view in zip(labels(views), views, strict=True)]
    return plain("Answers and costs of the advised networks", HEADS, rows)


def _answer(view: RunView) -> tuple[str, ...]:
    curve = view.curve
    then = at(curve, curve.best_guess if curve.recommended is None else curve.recommended)
    guess = "best guess, " if curve.recommended is None else ""
    now, name = curve.axis.name(curve.current), curve.axis.name(then.depth)
    change = name if then.depth == curve.current else f"{now} → {name}"
    value = f"{curve.units.metric} {fraction(then.score.value, curve.units)}"
    interval = f"{percent(curve.confidence)}: {_ends(then, curve)}"
    costs = (count(then.params), scaled(then.macs), milliseconds(then.latency_ms), f"{view.trainings:.3g}")
    return (view.answer.verdict, f"{guess}{change}", f"{value}\n{interval}", *costs)


def _ends(then: Candidate, curve: DepthCurve) -> str:
    return f"{fraction(then.score.low, curve.units)} to {fraction(then.score.high, curve.units)}"


def comparison_exhibits(views: Sequence[RunView]) -> tuple[Exhibit, ...]:
    """One figure for every metric and axis that at least two runs share."""
    groups: dict[tuple[str, str], list[tuple[str, DepthCurve]]] = {}
    for label, view in zip(labels(views), views, strict=True):
        groups.setdefault((view.curve.units.metric, view.curve.axis.noun), []).append((label, view.curve))
    return tuple(
        Exhibit(
            name=f"compare-{rank}",
            caption="Estimates with their intervals; stars are the recommended ones.",
            tables=(_curves(metric, curves),),
            draw=partial(draw_comparison, curves),
        )
        for rank, ((metric, _), curves) in enumerate(groups.items(), 1)
        if len(curves) > 1
    )


def _curves(metric: str, curves: Sequence[tuple[str, DepthCurve]]) -> Table:
    axis = curves[0][1].axis
    values = [{one.depth: fraction(one.score.value, curve.units) for one in curve.candidates} for _, curve in curves]
    depths = sorted({depth for found in values for depth in found})
    rows = [(axis.name(depth), *(found.get(depth, "") for found in values)) for depth in depths]
    caption = f"{capital(metric)} against {axis.noun}, all runs"
    return plain(caption, [axis.column, *(label for label, _ in curves)], rows)


def labels(views: Sequence[RunView]) -> list[str]:
    """What tells the runs apart: the names of their folders, numbered where these are the same."""
    names = [view.name for view in views]
    return [f"{name} ({rank})" if names.count(name) > 1 else name for rank, name in enumerate(names, 1)]
