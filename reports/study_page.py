"""The page of a study: one HTML file, Optuna's plots in our frame, nothing fetched from anywhere."""

from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from depthprobe.reports.figures import CLEAR, FONT, Figure, script_json
from depthprobe.reports.page import for_template, open_template, page_policy, resource
from depthprobe.reports.palette import FAINT, INK, MUTED, night_map
from depthprobe.reports.study import Plot, StudyView

HEIGHTS = {"parallel": 460, "slices": 420}
OWN = ("template", "width")  # of the page, not of Optuna


def render_study(view: StudyView) -> str:
    """The whole page. Names come from files of others: the template escapes everything that is not made here."""
    scripts = [get_plotlyjs(), resource("report.js.j2")]
    page = open_template("study.html.j2").render(
        view=view,
        figures=[for_template(draw(plot)) for plot in view.plots],
        policy=page_policy(scripts),
        css=Markup(resource("report.css")),
        scripts=[Markup(script) for script in scripts],
        night=Markup(script_json(night_map())),
    )
    return page.strip() + "\n"


def draw(plot: Plot) -> Figure:
    """Optuna's plot without its background, in our font."""
    height = HEIGHTS.get(plot.name, 360)
    document: dict[str, Any] = {**plot.document}
    document["layout"] = {name: value for name, value in document["layout"].items() if name not in OWN}
    figure = go.Figure(document)
    figure.update_layout(
        template=None, height=height, title=None, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
        font={"family": FONT, "size": 12, "color": INK}, margin={"l": 62, "r": 16, "t": 30, "b": 60},
        legend={"orientation": "h", "x": 0, "y": -0.25, "yanchor": "top"},
    )  # fmt: skip
    figure.update_xaxes(gridcolor=FAINT, linecolor=MUTED, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=FAINT, linecolor=MUTED, zeroline=False, automargin=True)
    return Figure(figure, plot.caption, height)
