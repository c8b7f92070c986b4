"""How a notebook shows an answer: the sentence and its candidates, a small piece of HTML."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from depthprobe.analysis.units import Units
from depthprobe.counting import number_of
from depthprobe.probes.answer import Recommendation

HEADS = ("candidate", "{metric}", "interval", "parameters", "MACs", "ms per batch")


def answer_html(recommendation: Recommendation, curve: Sequence[Mapping[str, Any]]) -> str:
    """Sentence and candidates; names are escaped. curve: one row per candidate."""
    units = Units(metric=recommendation.metric, fraction=recommendation.fraction, tolerance=recommendation.tolerance)
    heads = "".join(f"<th>{html.escape(head.format(metric=units.metric))}</th>" for head in HEADS)
    rows = "".join(f"<tr>{_row(recommendation, units, row)}</tr>" for row in curve)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div><p><strong>{html.escape(recommendation.sentence)}</strong></p>{table}</div>"


def _row(recommendation: Recommendation, units: Units, row: Mapping[str, Any]) -> str:
    by_width = recommendation.command == "width"
    part, place = (recommendation.width, row["ratio"]) if by_width else (recommendation.depth, row["depth"])
    name = f"{100 * place:.0f} %" if by_width else number_of(place, "layer")
    marks = [word for word in ("current", "recommended") if part[word] == place]
    cells = [", ".join([name, *marks]), units.value(row["value"])]
    cells += [f"{units.value(row['low'])} to {units.value(row['high'])}"]
    cells += [f"{row['params']:,}", f"{row['macs']:,}", f"{row['latency_ms']:.3g}"]
    return "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
