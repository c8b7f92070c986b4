"""The metric against depth: the figure that carries the answer."""

import plotly.graph_objects as go

from depthprobe.reports.depth_marks import add_control, add_depths, drawn_depths, drawn_way, ends, span
from depthprobe.reports.figures import Figure, frame
from depthprobe.reports.measured import DepthCurve
from depthprobe.reports.numbers import axis_title, fraction, percent
from depthprobe.reports.palette import BLUE, GREEN, MUTED, ORANGE, wash

HEIGHT = 470
MOST_TICKS = 15


def draw_depth(curve: DepthCurve) -> Figure:
    """The estimate with its intervals, way up, seeds, control, tolerance, current and recommended depth."""
    figure = go.Figure()
    add_control(figure, curve)
    _add_up(figure, curve)
    _add_seeds(figure, curve)
    _add_estimate(figure, curve)
    add_depths(figure, curve)
    depths = drawn_depths(curve)
    depths = depths if len(depths) <= MOST_TICKS else [candidate.depth for candidate in curve.candidates]
    frame(figure, HEIGHT, hovermode="closest")
    ticks = {"tickmode": "array", "tickvals": depths}
    figure.update_xaxes(title_text=curve.axis.title, range=span(curve), **ticks)
    figure.update_yaxes(
        title_text=axis_title(curve.units), range=_heights(curve), tickformat=".3~f" if curve.units.fraction else ".4~g"
    )
    values = ", ".join(f"{curve.axis.name(c.depth)} {fraction(c.score.value, curve.units)}" for c in curve.candidates)
    return Figure(figure, f"Line chart of validation {curve.units.metric} against {curve.axis.noun}: {values}.", HEIGHT)


def _heights(curve: DepthCurve) -> tuple[float, float]:
    """All that counts, and what is drawn of the way."""
    values = [*ends(curve), *(value for _, value in drawn_way(curve))]
    low, high = min(values), max(values)
    margin = 0.07 * (high - low or 0.1)
    return low - margin, high + margin


def _add_up(figure: go.Figure, curve: DepthCurve) -> None:
    figure.add_scatter(
        x=[depth for depth, _ in drawn_way(curve)],
        y=[value for _, value in drawn_way(curve)],
        name="on the way (trained less, not used)",
        mode="lines+markers",
        line={"color": wash(BLUE, 0.4), "width": 1.5},
        marker={"symbol": "triangle-up", "size": 8, "color": wash(BLUE, 0.45)},
        hovertemplate=f"on the way, %{{x}} {curve.axis.counted}: %{{y:.3f}}<extra></extra>",
    )


def _add_seeds(figure: go.Figure, curve: DepthCurve) -> None:
    named: set[str] = set()
    for rank, walk in enumerate(curve.walks):
        shift = 0.012 * (span(curve)[1] - span(curve)[0]) * (rank - (len(curve.walks) - 1) / 2)
        name = "failed seed, not counted" if walk.failed else "one seed"
        symbol, colour = ("x-thin", ORANGE) if walk.failed else ("circle-open", MUTED)
        figure.add_scatter(
            x=[depth + max(-0.18, min(0.18, shift)) for depth, _ in walk.down],
            y=[value for _, value in walk.down],
            customdata=[depth for depth, _ in walk.down],
            name=name,
            legendgroup=name,
            showlegend=name not in named,
            mode="markers",
            marker={"symbol": symbol, "size": 6, "color": colour, "line": {"width": 1.2, "color": colour}},
            hovertemplate=f"seed {walk.seed}, %{{customdata}} {curve.axis.counted}: %{{y:.3f}}<extra></extra>",
        )
        named.add(name)


def _add_estimate(figure: go.Figure, curve: DepthCurve) -> None:
    depths = [candidate.depth for candidate in curve.candidates]
    estimates = [candidate.score for candidate in curve.candidates]
    figure.add_scatter(
        x=[*depths, *reversed(depths)],
        y=[e.high for e in estimates] + [e.low for e in reversed(estimates)],
        fill="toself",
        fillcolor=wash(BLUE, 0.16),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup="estimate",
    )
    figure.add_scatter(
        x=depths,
        y=[e.value for e in estimates],
        customdata=[[fraction(e.low, curve.units), fraction(e.high, curve.units)] for e in estimates],
        name=f"estimate, {percent(curve.confidence)} interval",
        mode="lines+markers",
        line={"color": BLUE, "width": 3},
        marker={"size": 9, "color": BLUE},
        legendrank=1,
        hovertemplate=f"<b>%{{x}} {curve.axis.counted}: %{{y:.3f}}</b><br>"
        "%{customdata[0]} to %{customdata[1]}<extra></extra>",
        legendgroup="estimate",
    )
    if curve.fitted:
        last = len(depths) - curve.apart
        figure.add_scatter(
            x=depths[:last],
            y=list(curve.fitted[:last]),
            name="fitted curve (decides)",
            mode="lines",
            line={"color": GREEN, "width": 2, "dash": "dashdot", "shape": "spline"},
            hovertemplate=f"fitted, %{{x}} {curve.axis.counted}: %{{y:.3f}}<extra></extra>",
        )
