"""The units of a model on the terminal: a tree of module paths, costs beside it, every reason once."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from depthprobe.counting import number_of
from depthprobe.errors import printable

MOST_NAMES = 6


def print_units(model: str, info: dict[str, Any]) -> None:
    """Print what `inspect` found. info: as its --json."""
    console = Console(highlight=False)
    console.print(Text(printable(_headline(model, info))))
    for note in info["notes"]:
        console.print(Text(note, style="dim"))
    console.print(_units(info))
    for row in info["reasons"]:
        console.print(Text(printable(f"cannot {row['cannot']}: {row['reason']}"), style="yellow"))
        console.print(Text(printable(f"    {_names(row['units'])}"), style="dim"))
    if info["grow"] is None:
        if not info["reasons"]:
            console.print(Text(info["refused"], style="yellow"))
        return
    console.print()
    console.print(Text("depthprobe grow would measure:", style="bold"))
    console.print(_plan(info["grow"]))


def _headline(model: str, info: dict[str, Any]) -> str:
    run = "units found by running its modules on an example: what forward does with other inputs was not seen"
    how = "traced by torch.fx" if info["tracer"] == "fx" else run
    why = f" ({info['why']})" if info["why"] else ""
    return (
        f"{model}: input {shape_text(info['input_shape'])}, {info['params']:,} parameters, {info['macs']:,} MACs, "
        f"{number_of(len(info['units']), 'unit')}, {how}{why}"
    )


def _units(info: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("unit", "layers", "in", "out", "parameters", "MACs", "time", "can"):
        right = name in ("parameters", "MACs", "time")
        table.add_column(name, justify="right" if right else "left", overflow="fold", min_width=len(name))
    for label, row in tree(info["units"]):
        table.add_row(*(Text(printable(cell)) for cell in _cells(label, row, info["time_ms"])))
    return table


def _cells(label: str, row: dict[str, Any] | None, whole: float) -> list[str]:
    if row is None:
        return [label, *[""] * 7]
    can = [word for word, key in (("grow", "growable"), ("shrink", "shrinkable"), ("narrow", "narrowable")) if row[key]]
    shapes = [shape_text(row[key]) for key in ("in_shape", "out_shape")]
    share = f"{100 * row['time_ms'] / whole:.0f} %" if whole else ""
    layers = row["layers"] if row["kind"] in row["layers"] else f"{row['kind']}: {row['layers']}".rstrip(": ")
    return [label, layers, *shapes, f"{row['params']:,}", f"{row['macs']:,}", share, " ".join(can) or "-"]


def tree(units: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(label, unit) in order, paths as indented lines; the lines of containers come with None."""
    open_path: list[str] = []
    for unit in units:
        *place, name = str(unit["name"]).split(".")
        common = 0
        while common < min(len(place), len(open_path)) and place[common] == open_path[common]:
            common += 1
        for depth in range(common, len(place)):
            yield "  " * depth + place[depth], None
        open_path = place
        yield "  " * len(place) + name, unit


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def _plan(grow: dict[str, Any]) -> Table:
    plan = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("layers", "parameters", "MACs", "last layer added"):
        plan.add_column(name, justify="right" if name != "last layer added" else "left")
    for row in grow["candidates"]:
        last = grow["gates"][row["opened"] - 1] if row["opened"] else "(as it is)"
        plan.add_row(str(row["depth"]), f"{row['params']:,}", f"{row['macs']:,}", Text(printable(last)))
    return plan


def shape_text(shape: list[int]) -> str:
    """3x32x32."""
    return "x".join(map(str, shape))
