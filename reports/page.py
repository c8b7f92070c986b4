"""Views -> one HTML page: figures as JSON, plotly.js once, nothing fetched from anywhere."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from depthprobe.reports import numbers
from depthprobe.reports.course_figure import draw_course
from depthprobe.reports.depth_figure import draw_depth
from depthprobe.reports.figures import Figure, script_json
from depthprobe.reports.palette import night_map
from depthprobe.reports.sure_figures import draw_gains, draw_shares
from depthprobe.reports.view import RunView


def render_page(views: Sequence[RunView]) -> str:
    """The whole page. Names come from files of others: the template escapes everything that is not made here."""
    scripts = [get_plotlyjs(), resource("report.js.j2")]
    template = open_template("report.html.j2")
    page = template.render(
        views=views,
        figures=[_figures(view) for view in views],
        title=_title(views),
        policy=page_policy(scripts),
        css=Markup(resource("report.css")),
        scripts=[Markup(script) for script in scripts],
        night=Markup(script_json(night_map())),
    )
    return page.strip() + "\n"


_FILTERS = (
    "capital",
    "fraction",
    "gained",
    "points",
    "size",
    "percent",
    "count",
    "scaled",
    "times",
    "milliseconds",
)


def _title(views: Sequence[RunView]) -> str:
    if len(views) > 1:
        return f"depthprobe: {len(views)} runs"
    return f"depthprobe: {views[0].model} on {views[0].data}"


def _figures(view: RunView) -> dict[str, dict[str, Any] | None]:
    """Figures of one run by name; None for one without data."""
    sure = view.certainty
    drawn = {
        "depth": draw_depth(view.curve),
        "course": draw_course(view.course) if view.course.lines else None,
        "shares": draw_shares(sure) if sure.shares else None,
        "gains": draw_gains(sure) if sure.gains else None,
    }
    return {name: for_template(figure) if figure else None for name, figure in drawn.items()}


def for_template(figure: Figure) -> dict[str, Any]:
    """What the template needs of a figure."""
    return {"json": Markup(figure.to_json()), "label": figure.label, "height": figure.height}


def page_policy(scripts: Sequence[str]) -> str:
    """Content-Security-Policy: only the scripts of this page run, and nothing is fetched."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{text}'" for text in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def open_template(name: str) -> jinja2.Template:
    """A template that escapes everything, with the filters of numbers."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({name: getattr(numbers, name) for name in _FILTERS})
    return environment.from_string(resource(name))


def resource(name: str) -> str:
    """The text of a file that lies beside this module."""
    return files("depthprobe.reports").joinpath(name).read_text(encoding="utf-8")
