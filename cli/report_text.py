"""A report on the terminal: what the page shows, in words and tables; plain where it is piped."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"deepen": "green", "keep": "cyan", "inconclusive": "yellow", "shrink": "magenta", "narrow": "magenta"}
MARKS = {"recommended": "green", "control": "dim"}
CHANGES = {"added": "green", "removed": "red", "narrowed": "green"}
BAR = 24  # characters of the widest box
PIPED = 160  # columns where there is no terminal


def print_reports(views: Any) -> None:
    """Print the reports of views, side by side first where there are several."""
    from depthprobe.reports.compare import comparison_exhibits, comparison_table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED)
    if len(views) > 1:
        _heading(console, f"{len(views)} runs side by side")
        _table(console, comparison_table(views))
        for one in comparison_exhibits(views):
            _table(console, one.tables[0])
    for view in views:
        _report(console, view)


def _report(console: Console, view: Any) -> None:
    from depthprobe.reports.sections import sections_of

    answer = view.answer
    _heading(console, f"depthprobe {view.command}: {view.model} on {view.data} ({view.name})")
    _say(console, answer.sentence, f"bold {COLOURS.get(answer.verdict, '')}")
    _say(console, answer.meaning)
    for addition in answer.additions:
        _say(console, f"add: {addition.copies} x after {addition.after}")
    if answer.removals:
        _say(console, f"remove: {', '.join(answer.removals)}")
    for warning in answer.warnings:
        _say(console, f"warning: {warning}", "yellow")
    console.print()
    _tiles(console, answer.costs)
    _network(console, view.network)
    for section in sections_of(view):
        _section(console, section, answer.tiles if section.exhibits[0].name == "depth" else ())
    _rest(console, view)


def _section(console: Console, section: Any, tiles: Any) -> None:
    _heading(console, section.title)
    for sentence in section.text:
        _say(console, sentence)
    _tiles(console, tiles)
    for one in section.exhibits:
        for table in one.tables:
            _table(console, table)
        _say(console, one.caption, "dim")
        console.print()


def _rest(console: Console, view: Any) -> None:
    """Next steps, notes, provenance."""
    _heading(console, "What to do next")
    for step in view.answer.steps:
        _say(console, step.text)
        for line in (step.code or "").splitlines():
            _say(console, f"    {line}")
    for note in view.answer.notes:
        _say(console, f"note: {note}")
    _heading(console, "Where this comes from")
    for fact in view.facts:
        _say(console, f"{fact.label}: {fact.value}")
    for name, value in json.loads(view.config).items():
        _say(console, f"config.json, {name}: {json.dumps(value, ensure_ascii=False)}", "dim")


def _network(console: Console, network: Any) -> None:
    """One line per box: its width to scale, its name, what happens to it."""
    if network is None:
        return
    _heading(console, "The network, before and after" if network.changed else "The network")
    _say(console, network.summary)
    signs = {"added": "+", "removed": "-", "narrowed": "~"}
    longest = max(len(box.name) for box in network.boxes)
    for box in network.boxes:
        bar = "#" * max(1, round(BAR * (box.after or box.before) / network.widest))
        times = f"x {box.times}" if box.times > 1 else ""
        line = f"{signs.get(box.change, ' ')} {bar:<{BAR}} {box.name:<{longest}} {box.kind} {box.width} {times}"
        _say(console, f"{line.rstrip()} {box.change}".rstrip(), CHANGES.get(box.change, ""))


def _tiles(console: Console, tiles: Any) -> None:
    for tile in tiles:
        detail = f" ({tile.detail})" if tile.detail else ""
        _say(console, f"{tile.label}: {tile.value}{detail}")


def _table(console: Console, table: Any) -> None:
    """Small print follows in brackets."""
    _say(console, table.caption, "bold")
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, head in enumerate(table.columns):
        drawn.add_column(Text(_flat(head)), justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        first = " ".join([_flat(row.cells[0]), *(f"[{tag}]" for tag in row.tags)])
        drawn.add_row(*(Text(_flat(cell)) for cell in (first, *row.cells[1:])), style=MARKS.get(row.mark, ""))
    console.print(drawn)


def _flat(cell: str) -> str:
    """A cell on one line."""
    text, _, small = cell.partition("\n")
    return f"{text} ({small})" if small else text


def _heading(console: Console, text: str) -> None:
    console.print()
    _say(console, text, "bold underline")


def _say(console: Console, text: str, style: str = "") -> None:
    """Names come from files of others: nothing in them is markup."""
    console.print(Text(text.replace("\u00a0", " "), style=style), soft_wrap=True)
