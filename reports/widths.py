"""Every unit's width, from a width run."""

from depthprobe.reports.reading import Run
from depthprobe.reports.view import UnitWidth, Untrained, Widths


def view_widths(run: Run) -> Widths | None:
    """Units, those that stay, and what the network is worth untrained; None for a run of another verb."""
    if run.command != "width":
        return None
    part = run.recommendation["width"]
    return Widths(
        units=tuple(
            UnitWidth(
                unit=str(row["name"]),
                coupled=tuple(str(name) for name in row["members"][1:]),
                current=int(row["current"]),
                advised=None if row["recommended"] is None else int(row["recommended"]),
                enough=int(row["enough_alone"]),
                narrowest=next(((int(one["width"]), float(one["value"])) for one in row["candidates"]), None),
            )
            for row in part["units"]
        ),
        fixed=tuple((str(row["name"]), str(row["reason"])) for row in part["fixed"]),
        untrained=tuple(
            Untrained(
                percent=round(100 * row["ratio"]),
                equal=row["equal"],
                uneven=row["uneven"],
                drawn=float(row["bernoulli"]),
            )
            for row in part["untrained"]
        ),
    )
