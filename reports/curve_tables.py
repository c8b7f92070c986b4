"""The numbers behind the curve: every seed's walks, and the candidates with their costs."""

from depthprobe.reports.measured import Candidate, DepthCurve, Estimate
from depthprobe.reports.numbers import capital, count, fraction, memory, milliseconds, percent, scaled, times
from depthprobe.reports.tables import Row, Table


def depth_table(curve: DepthCurve) -> Table:
    """Estimate, interval, way up and every seed's measurement; the control last."""
    units = curve.units
    up, fitted = dict(curve.up), curve.fitted or [None] * len(curve.candidates)
    heads = [curve.axis.column, "Estimate", f"{percent(curve.confidence)} interval"]
    heads += ["Fitted"] if curve.fitted else []
    heads += ["On the way"] if curve.up else []
    rows = []
    for candidate, smooth in zip(curve.candidates, fitted, strict=True):
        depth = candidate.depth
        cells = [curve.axis.name(depth), fraction(candidate.score.value, units), ends(candidate.score, curve)]
        cells += (
            ["" if curve.apart and depth == curve.current else fraction(smooth, units)] if smooth is not None else []
        )
        cells += [fraction(up[depth], units) if depth in up else ""] if curve.up else []
        walks = [dict(walk.down) for walk in curve.walks]
        cells += [fraction(walk[depth], units) if depth in walk else "" for walk in walks]
        rows.append(Row(cells=tuple(cells), mark=mark(curve, depth), tags=tags(curve, depth)))
    heads += [f"Seed {walk.seed}{' (failed)' if walk.failed else ''}" for walk in curve.walks]
    gaps = [""] * (len(heads) - 3 - len(curve.walks))
    alone = [fraction(walk.control, units) if walk.control is not None else "" for walk in curve.walks]
    control = [curve.axis.name(curve.current), fraction(curve.control.value, units), ends(curve.control, curve)]
    rows.append(Row(cells=(*control, *gaps, *alone), mark="control", tags=("control",)))
    caption = f"{capital(units.metric)} of the candidates, cooled, on validation examples"
    return Table(caption=caption, columns=tuple(heads), rows=tuple(rows))


def candidate_table(curve: DepthCurve) -> Table:
    """Metric and costs of every candidate, with factors relative to the current one."""
    now = next(candidate for candidate in curve.candidates if candidate.depth == curve.current)
    heads = [
        f"{curve.axis.column}\n{curve.axis.detail}",
        f"{capital(curve.units.metric)}\n{percent(curve.confidence)} interval",
        "Parameters",
        "MACs\nper example",
        "Latency\nms per batch",
    ]
    heads += ["Weights\nmemory"] if now.weight_bytes else []
    rows = [
        Row(cells=_costs(curve, candidate, now), mark=mark(curve, candidate.depth), tags=_all_tags(curve, candidate))
        for candidate in curve.candidates
    ]
    control = f"{fraction(curve.control.value, curve.units)}\n{ends(curve.control, curve)}"
    same = _costs(curve, now, None)
    rows.append(Row(cells=(same[0], control, *same[2:]), mark="control", tags=("control",)))
    caption = f"Factors are relative to the current {curve.axis.noun}."
    if any(candidate.beaten for candidate in curve.candidates):
        caption += " Beaten: another candidate is as good with fewer parameters and MACs."
    return Table(caption=caption, columns=tuple(heads), rows=tuple(rows))


def _costs(curve: DepthCurve, candidate: Candidate, now: Candidate | None) -> tuple[str, ...]:
    """Cells of a candidate; factors relative to `now`, none without it."""
    score = f"{fraction(candidate.score.value, curve.units)}\n{ends(candidate.score, curve)}"
    numbers = [
        (count(candidate.params), candidate.params, now and now.params),
        (scaled(candidate.macs), candidate.macs, now and now.macs),
        (milliseconds(candidate.latency_ms), candidate.latency_ms, now and now.latency_ms),
    ]
    if candidate.weight_bytes:
        numbers.append((memory(candidate.weight_bytes), candidate.weight_bytes, now and now.weight_bytes))
    costs = [f"{text}\n{times(value, base)}" if base else text for text, value, base in numbers]
    return (curve.axis.name(candidate.depth), score, *costs)


def ends(score: Estimate, curve: DepthCurve) -> str:
    """Both ends of an interval."""
    return f"{fraction(score.low, curve.units)} to {fraction(score.high, curve.units)}"


def mark(curve: DepthCurve, depth: int) -> str:
    """How the row of a candidate is set off."""
    return "recommended" if depth == curve.recommended else "current" if depth == curve.current else ""


def tags(curve: DepthCurve, depth: int) -> tuple[str, ...]:
    """Words behind the name of a candidate."""
    words = {"current": curve.current, "recommended": curve.recommended}
    if curve.recommended is None:
        words["best guess"] = curve.best_guess
    return tuple(word for word, number in words.items() if number == depth)


def _all_tags(curve: DepthCurve, candidate: Candidate) -> tuple[str, ...]:
    return (*tags(curve, candidate.depth), *(("beaten",) if candidate.beaten else ()))
