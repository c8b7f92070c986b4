"""The answer on stdout: the sentence, the candidate table, where the report lies."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"deepen": "green", "keep": "cyan", "inconclusive": "yellow", "shrink": "magenta"}


def print_answer(recommendation: Any, page: Path) -> None:
    """recommendation: of a grow run; page: its report."""
    console = Console(highlight=False)
    console.print(
        Text(recommendation.sentence, style=f"bold {COLOURS.get(recommendation.verdict, '')}"), soft_wrap=True
    )
    console.print()
    console.print(candidate_table(recommendation))
    for line in facts(recommendation):
        console.print(Text(line), soft_wrap=True)
    console.print(Text(f"report: {page}"), soft_wrap=True)


def candidate_table(recommendation: Any) -> Table:
    """One row per candidate depth."""
    depth = recommendation.depth
    table = Table(box=None, pad_edge=False, header_style="bold")
    latency = f"ms per {depth['latency']['batch']}"
    for name in ("layers", "accuracy", "95 % interval", "parameters", "MACs", latency):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in depth["candidates"]:
        marks = [
            word
            for word, value in (("current", depth["current"]), ("recommended", depth["recommended"]))
            if value == row["depth"]
        ]
        table.add_row(
            str(row["depth"]),
            f"{row['value']:.3f}",
            f"{row['low']:.3f} - {row['high']:.3f}",
            f"{row['params']:,}",
            f"{row['macs']:,}",
            f"{row['latency_ms']:.2f}",
            Text(", ".join(marks), style="bold"),
        )
    return table


def facts(recommendation: Any) -> list[str]:
    """Control, what to add, test accuracy, cost, notes."""
    control, cost = recommendation.control, recommendation.cost
    lines = [
        f"control (no growth, as many updates): {control['value']:.3f} ({control['low']:.3f} - {control['high']:.3f})"
    ]
    lines += [f"add: {edit['copies']} x after {edit['after']}" for edit in recommendation.add]
    if recommendation.test:
        lines.append(f"test accuracy of model.pt: {recommendation.test['value']:.3f}")
    lines.append(
        f"cost: {cost['trainings']:.1f} trainings of the deepest network, {cost['wall_seconds']:.0f} s; "
        f"tolerance {recommendation.tolerance:.4f}"
    )
    return lines + [f"note: {note}" for note in recommendation.notes]


def print_summary(folder: Path, summary: dict[str, Any]) -> None:
    """The result of `depthprobe train`."""
    console = Console(highlight=False)
    test, valid = summary["test"], summary["valid"]
    console.print(Text(f"test accuracy {test['value']:.3f} ({test['examples']} examples)", style="bold"))
    facts = f"{summary['params']:,} parameters, {summary['wall_seconds']:.0f} s"
    console.print(Text(f"validation accuracy {valid['value']:.3f}, {facts}"))
    console.print(Text(f"model: {folder / 'model.pt'}"), soft_wrap=True)
