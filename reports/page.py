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
from depthprobe.reports.compare import comparison_exhibits, comparison_table
from depthprobe.reports.exhibit import Exhibit
from depthprobe.reports.figures import Figure, script_json
from depthprobe.reports.palette import night_map
from depthprobe.reports.sections import sections_of
from depthprobe.reports.training import TrainingView
from depthprobe.reports.unit_tables import network_table
from depthprobe.reports.view import RunView

_FILTERS = ("capital", "fraction", "gained", "points", "size", "percent", "count", "scaled", "times", "milliseconds")


def render_page(views: Sequence[RunView | TrainingView]) -> str:
    """The whole page. Names come from files of others: the template escapes everything that is not made here."""
    scripts = [get_plotlyjs(), resource("report.js.j2")]
    page = open_template("report.html.j2").render(
        pages=[_page(view, f"run-{rank}") for rank, view in enumerate(views, 1)],
        comparison=_comparison([view for view in views if isinstance(view, RunView)]) if len(views) > 1 else None,
        title=_title(views),
        policy=page_policy(scripts),
        css=Markup(resource("report.css")),
        scripts=[Markup(script) for script in scripts],
        night=Markup(script_json(night_map())),
    )
    return page.strip() + "\n"


def _title(views: Sequence[RunView | TrainingView]) -> str:
    if len(views) > 1:
        return f"depthprobe: {len(views)} runs"
    return f"depthprobe: {views[0].model} on {views[0].data}"


def _page(view: RunView | TrainingView, name: str) -> dict[str, Any]:
    """One run for the template."""
    sections = sections_of(view)
    return {
        "id": name,
        "view": view,
        "sections": sections,
        "network": network_table(view.network) if view.network else None,
        "figures": _figures([one for section in sections for one in section.exhibits]),
        "numbers": Markup(script_json(view.numbers)),
    }


def _comparison(views: Sequence[RunView]) -> dict[str, Any]:
    exhibits = comparison_exhibits(views)
    return {"table": comparison_table(views), "exhibits": exhibits, "figures": _figures(exhibits)}


def _figures(exhibits: Sequence[Exhibit]) -> dict[str, dict[str, Any] | None]:
    """Figures by the name of their exhibit; None where there are only tables."""
    drawn = {one.name: one.draw() if one.draw else None for one in exhibits}
    return {name: for_template(figure) if figure else None for name, figure in drawn.items()}


def for_template(figure: Figure) -> dict[str, Any]:
    """What a template needs of a figure."""
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
