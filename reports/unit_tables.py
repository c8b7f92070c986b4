"""The numbers behind the units: the network itself, what is missed without each, how wide each may be."""

from collections.abc import Sequence

from depthprobe.counting import number_of
from depthprobe.reports.measured import DepthCurve
from depthprobe.reports.network import Network
from depthprobe.reports.numbers import capital, count, fraction, gained
from depthprobe.reports.tables import Row, Table, plain
from depthprobe.reports.view import Ranking, Widths


def network_table(network: Network) -> Table:
    """The boxes of the drawing, in order of the data flow."""
    rows = [
        Row(
            cells=(box.name, box.kind, str(box.times), box.width, box.change or "stays"),
            mark="recommended" if box.change else "",
        )
        for box in network.boxes
    ]
    heads = ("Unit", "Kind", "How many", "Channels", "Advice")
    return Table(caption="The network in order of the data flow", columns=heads, rows=tuple(rows), code=True)


def ranking_table(ranking: Sequence[Ranking], curve: DepthCurve) -> Table:
    """Units in the order in which they were missed least."""
    rows = [
        Row(
            cells=(
                row.unit,
                gained(-row.loss, curve.units) if row.loss is not None else "not measured",
                f"{row.influence:.3f}" if row.influence is not None else "shapes differ",
                str(row.order) if row.order else "stayed",
            ),
            mark="recommended" if row.removed else "",
            tags=("removed",) if row.removed else (),
        )
        for row in ranking
    ]
    heads = ("Unit", "Lost without it\nalone, no training", "Influence\n1 - cosine", "Left as")
    return Table(caption="What is lost without each unit alone", columns=heads, rows=tuple(rows), code=True)


def widths_table(widths: Widths, curve: DepthCurve) -> Table:
    """Channels of every unit: now, advised, enough alone."""
    rows = []
    for row in widths.units:
        narrower = row.advised is not None and row.advised < row.current
        enough = row.narrowest
        alone = f"{fraction(enough[1], curve.units)}\n{number_of(enough[0], 'channel')}" if enough else ""
        name = f"{row.unit}\nwith {', '.join(row.coupled)}" if row.coupled else row.unit
        advised = count(row.advised) if row.advised is not None else "?"
        cells = (name, count(row.current), advised, count(row.enough), alone)
        rows.append(Row(cells=cells, mark="recommended" if narrower else ""))
    heads = (
        "Unit",
        "Channels\nnow",
        "Advised\nmeasured together",
        "Enough alone\nwithout training",
        "At the least width\nalone, without training",
    )
    return Table(caption="Channels of every unit", columns=heads, rows=tuple(rows), code=True)


def untrained_table(widths: Widths, curve: DepthCurve) -> Table:
    """The whole network at each width, without any training."""
    rows = [
        (
            curve.axis.name(row.percent),
            fraction(row.equal, curve.units) if row.equal is not None else "",
            fraction(row.uneven, curve.units) if row.uneven is not None else "",
            fraction(row.drawn, curve.units),
        )
        for row in widths.untrained
    ]
    heads = (
        "Width\nof the channels",
        "Chosen\nequal shares",
        "Chosen\nuneven, at that cost",
        "Drawn\nas dropout would",
    )
    return plain(f"Without any training: {capital(curve.units.metric)}", heads, rows)
