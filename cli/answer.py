"""The answer on stdout: the sentence, the candidate table, where the report lies."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from depthprobe.cli.live import short
from depthprobe.counting import number_of
from depthprobe.errors import printable

NOUNS = {"grow": "growth", "shrink": "removal", "width": "cut"}
COLOURS = {"deepen": "green", "keep": "cyan", "inconclusive": "yellow", "shrink": "magenta", "narrow": "magenta"}


def print_answer(recommendation: Any, page: Path) -> None:
    """recommendation: of a grow run; page: its report."""
    console = Console(highlight=False)
    console.print(
        Text(printable(recommendation.sentence), style=f"bold {COLOURS.get(recommendation.verdict, '')}"),
        soft_wrap=True,
    )
    console.print()
    table = candidate_table(recommendation)
    console.width = max(console.width, Measurement.get(console, console.options.update(width=999), table).maximum)
    console.print(table)  # whole, where the terminal is narrower: a number that is cut off is none
    for line in facts(recommendation):
        console.print(Text(printable(line)), soft_wrap=True)
    console.print(Text(f"report: {printable(str(page))}"), soft_wrap=True)
    console.print(Text(f"next: {printable(next_command(recommendation, page.parent))}"), soft_wrap=True)


def next_command(recommendation: Any, folder: Path) -> str:
    """What to type after this answer; the page says more."""
    from depthprobe.reports.reading import is_unmet

    run = shlex.quote(str(folder))
    if recommendation.verdict == "inconclusive" and is_unmet(recommendation.sentence):
        return "the same with a wider budget: the sentence names the closest network"
    if recommendation.verdict == "inconclusive":
        return f"the same with --seeds {len(recommendation.seeds) + 2}, or stay as it is"
    if recommendation.verdict == "keep" and recommendation.command != "width":
        asked = {"grow": ("shrink", "would fewer do?"), "shrink": ("width", "may they be narrower?")}
        verb, question = asked[recommendation.command]
        return f"depthprobe {verb} {run}   ({question})"
    return f"depthprobe export {run} --out network.py   (the network, plain PyTorch; network.onnx does as well)"


def candidate_table(recommendation: Any) -> Table:
    """One row per candidate depth, or width."""
    by_width = recommendation.command == "width"
    depth, key = (recommendation.width, "ratio") if by_width else (recommendation.depth, "depth")
    table = Table(box=None, pad_edge=False, header_style="bold")
    latency = f"ms per {depth['latency']['batch']}, {depth['latency']['device']}"
    units = units_of(recommendation)
    for name in (
        "channels" if by_width else "layers",
        recommendation.metric,
        f"{100 * recommendation.confidence:.3g} % interval",
        "parameters",
        "MACs",
        latency,
    ):
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in depth["candidates"]:
        marks = [
            word
            for word, value in (("current", depth["current"]), ("recommended", depth["recommended"]))
            if value == row[key]
        ]
        marks += [] if row.get("pareto", True) else ["beaten"]
        table.add_row(
            f"{100 * row[key]:.0f} %" if by_width else str(row[key]),
            units.value(row["value"]),
            interval(units, row),
            f"{row['params']:,}",
            f"{row['macs']:,}",
            f"{row['latency_ms']:.2f}",
            Text(", ".join(marks), style="bold"),
        )
    return table


def facts(recommendation: Any) -> list[str]:
    """Control, what to add, test score, cost, notes."""
    control, cost, units = recommendation.control, recommendation.cost, units_of(recommendation)
    what = f"control (no {NOUNS[recommendation.command]}, as many updates)"
    lines = [f"{what}: {units.value(control['value'])} ({interval(units, control)})"]
    lines += [f"add: {edit['copies']} x after {edit['after']}" for edit in recommendation.add]
    lines += [f"remove: {', '.join(recommendation.remove)}"] if recommendation.remove else []
    for row in recommendation.places:
        gain, pays = row["gain"], {"yes": "pays", "no": "does not pay", "unclear": "unclear"}[row["pays"]]
        low, high = units.signed(gain["low"], unit=False), units.signed(gain["high"])
        lines.append(
            f"alone: {row['copies']} x at {row['place']}: {units.value(row['value'])}, "
            f"{units.signed(gain['value'], unit=False)} ({low} to {high}): {pays}"
        )
    if recommendation.verified:
        verified = recommendation.verified
        for name, row in (("advised", verified["recommended"]), ("present", verified["current"])):
            lines.append(f"from scratch, the {name} network: {units.value(row['value'])} ({interval(units, row)})")
    lines += unit_widths(recommendation)
    speed = recommendation.depth.get("speed_ms") or recommendation.width.get("speed_ms")
    if speed:
        from depthprobe.reports.numbers import say_speed

        lines.append(f"speed: {say_speed(speed)}")
    if recommendation.test:
        lines.append(f"test {recommendation.metric} of model.pt: {units.value(recommendation.test['value'])}")
    lines.append(
        f"cost: {cost['trainings']:.1f} trainings of the deepest network, {cost['wall_seconds']:.0f} s; "
        f"tolerance {recommendation.tolerance:{'.4f' if recommendation.fraction else '.4g'}}"
    )
    return lines + [f"note: {note}" for note in recommendation.notes]


def unit_widths(recommendation: Any) -> list[str]:
    """How wide every unit is, and should be; what it could be alone, without any training."""
    return [
        f"width: {row['name']}: {row['current']} -> {row['recommended'] or '?'} "
        f"(alone, untrained, {row['enough_alone']} are enough)"
        for row in recommendation.width["units"]
    ]


def units_of(recommendation: Any) -> Any:
    """How values of its metric are written."""
    from depthprobe.reports.numbers import Units

    return Units(metric=recommendation.metric, fraction=recommendation.fraction, tolerance=recommendation.tolerance)


def interval(units: Any, row: dict[str, float]) -> str:
    """Both ends: 0.950 - 0.975; "to" between numbers that may be negative."""
    low, high = units.value(row["low"]), units.value(row["high"])
    return f"{low} - {high}" if units.fraction else f"{low} to {high}"


def print_summary(folder: Path, summary: dict[str, Any]) -> None:
    """The result of `depthprobe train`."""
    console = Console(highlight=False)
    test, valid = summary["test"], summary["valid"]
    metric = summary["metric"]
    console.print(
        Text(f"test {metric} {short(test['value'])} ({number_of(test['examples'], 'example')})", style="bold")
    )
    facts = f"{summary['params']:,} parameters, {summary['wall_seconds']:.0f} s"
    console.print(Text(f"validation {metric} {short(valid['value'])}, {facts}"))
    console.print(Text(f"model: {folder / 'model.pt'}"), soft_wrap=True)
    console.print(Text(f"next: depthprobe shrink {shlex.quote(str(folder))}   (which layers can go?)"), soft_wrap=True)
