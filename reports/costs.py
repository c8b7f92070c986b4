"""What the advice costs and gains, in one line of key numbers: before and after."""

from collections.abc import Callable

from depthprobe.reports.measured import Candidate, DepthCurve
from depthprobe.reports.numbers import capital, fraction, memory, milliseconds, percent, short, times
from depthprobe.reports.view import Tile


def cost_tiles(curve: DepthCurve, batch: int | None) -> tuple[Tile, ...]:
    """Metric, parameters, MACs, measured latency and memory of the weights; of the best guess where nothing is advised.

    batch: examples of one measured forward pass (None: not said).
    """
    now = at(curve, curve.current)
    then = at(curve, curve.best_guess if curve.recommended is None else curve.recommended)
    guess = "best guess, not advised; " if curve.recommended is None and then != now else ""
    interval = f"{fraction(then.score.low, curve.units)} to {fraction(then.score.high, curve.units)}"
    per = f"ms per batch{f' of {batch:,}' if batch else ''}"
    tiles = [
        Tile(
            label=capital(curve.units.metric),
            value=_pair(now, then, lambda one: fraction(one.score.value, curve.units)),
            detail=f"{guess}validation, {percent(curve.confidence)} interval {interval}",
        ),
        _tile("Parameters", now, then, lambda one: one.params, short),
        _tile("MACs", now, then, lambda one: one.macs, short, "per example"),
        _tile("Latency", now, then, lambda one: one.latency_ms, milliseconds, f"{per}, measured"),
    ]
    if now.weight_bytes and then.weight_bytes:
        tiles.append(_tile("Memory", now, then, lambda one: one.weight_bytes or 0, memory, "weights, counted"))
    return tuple(tiles)


def at(curve: DepthCurve, depth: int) -> Candidate:
    """The candidate of that depth."""
    return next(candidate for candidate in curve.candidates if candidate.depth == depth)


def _tile(
    label: str,
    now: Candidate,
    then: Candidate,
    read: Callable[[Candidate], float],
    say: Callable[[float], str],
    what: str = "",
) -> Tile:
    factor = times(read(then), read(now)) if then != now else ""
    detail = ", ".join(part for part in (factor, what) if part)
    return Tile(label=label, value=_pair(now, then, lambda one: say(read(one))), detail=detail)


def _pair(now: Candidate, then: Candidate, say: Callable[[Candidate], str]) -> str:
    """Before and after; one number where nothing changes."""
    before, after = (say(one).replace(" ", "\u00a0") for one in (now, then))
    return before if then == now else f"{before} → {after}"
