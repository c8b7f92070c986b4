"""Whether the answer holds: other learning rates, one place alone, training from scratch."""

from collections.abc import Sequence

import plotly.graph_objects as go

from depthprobe.reports.figures import NOTHING_ABOVE, Figure, frame, safe
from depthprobe.reports.holding import PlaceGain, RateAnswer, Verified
from depthprobe.reports.measured import DepthCurve, Estimate
from depthprobe.reports.numbers import axis_title, fraction, gain_title, gained
from depthprobe.reports.palette import BLUE, GREEN, INK, MUTED, ORANGE, PINK

HEIGHT = 340
PAYS = {"yes": GREEN, "no": ORANGE}


def draw_rates(rates: Sequence[RateAnswer], curve: DepthCurve) -> Figure:
    """The curve at the rate itself, at a third and at three times it."""
    figure = go.Figure()
    main = [(candidate.depth, candidate.score.value) for candidate in curve.candidates]
    lines = [("the rate itself", main, BLUE, "solid")]
    for row, colour, dash in zip(rates, (PINK, ORANGE), ("dot", "dash"), strict=False):
        lines.append((row.name, list(row.values), colour, dash))
    for name, points, colour, dash in lines:
        figure.add_scatter(
            x=[depth for depth, _ in points],
            y=[value for _, value in points],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"size": 7},
            hovertemplate=f"{name}, %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    frame(figure, HEIGHT, hovermode="closest", margin=NOTHING_ABOVE)
    figure.update_xaxes(title_text=curve.axis.title, tickmode="array", tickvals=[depth for depth, _ in main])
    figure.update_yaxes(title_text=axis_title(curve.units), tickformat=".3~f" if curve.units.fraction else ".4~g")
    said = "; ".join(f"{row.name}: {row.verdict}" for row in rates)
    return Figure(figure, f"Line chart of {curve.units.metric} at three learning rates; {said}.", HEIGHT)


def draw_places(places: Sequence[PlaceGain], curve: DepthCurve) -> Figure:
    """The gain of the copies of each place alone, with its interval."""
    scale = 100 if curve.units.fraction else 1
    names = [safe(f"{one.place} ({one.copies})") for one in places]
    colours = [PAYS.get(one.pays, MUTED) for one in places]
    figure = _intervals(names, [one.gain for one in places], colours, scale)
    height = 100 + 44 * len(places)
    frame(figure, height, showlegend=False, margin=NOTHING_ABOVE)
    figure.add_shape(type="line", x0=0, x1=0, y0=0, y1=1, yref="paper", layer="below", line={"color": INK, "width": 1})
    figure.update_xaxes(title_text=gain_title(curve.units), showgrid=True)
    figure.update_yaxes(range=(len(places) - 0.4, -0.6), showgrid=False, ticks="")
    said = "; ".join(f"{one.place} {gained(one.gain.value, curve.units)}, pays: {one.pays}" for one in places)
    return Figure(figure, f"Gain of the copies of one place alone: {said}.", height)


def draw_verified(verified: Verified, curve: DepthCurve) -> Figure:
    """Both architectures, trained from scratch, with their intervals."""
    figure = _intervals(["current", "advised"], [verified.current, verified.advised], [MUTED, GREEN], 1)
    frame(figure, 190, showlegend=False, margin=NOTHING_ABOVE)
    figure.update_xaxes(
        title_text=axis_title(curve.units), showgrid=True, tickformat=".3~f" if curve.units.fraction else ".4~g"
    )
    figure.update_yaxes(range=(1.6, -0.6), showgrid=False, ticks="")
    pair = [fraction(one.value, curve.units) for one in (verified.current, verified.advised)]
    said = f"{curve.units.metric} of the current network {pair[0]}, of the advised one {pair[1]}"
    return Figure(figure, f"Trained from scratch: {said}.", 190)


def _intervals(names: Sequence[str], scores: Sequence[Estimate], colours: Sequence[str], scale: int) -> go.Figure:
    """One point with a bar per name."""
    figure = go.Figure()
    for name, score, colour in zip(names, scores, colours, strict=True):
        bar = {"array": [scale * (score.high - score.value)], "arrayminus": [scale * (score.value - score.low)]}
        figure.add_scatter(
            x=[scale * score.value],
            y=[name],
            mode="markers",
            marker={"size": 11, "color": colour},
            error_x={**bar, "color": colour, "thickness": 3, "width": 7},
            hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        )
    return figure
