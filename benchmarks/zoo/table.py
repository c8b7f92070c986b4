"""docs/coverage.md from the stored lines: totals, every failure with its reason, what is left out and why."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.cases import SOURCES
from zoo.checks import CHECKS, TOLERANCE
from zoo.store import code_hash, passed, read
from zoo.timm_zoo import SAMPLE

LARGE = 350e6
_TITLES = {
    "torchvision": "torchvision",
    "timm": "timm (a seeded sample, stratified by family)",
    "hf": "Hugging Face (small configs)",
}
_HEAD = """# On which models surgery works

Written by `python benchmarks/coverage.py table` from the lines in `benchmarks/results/coverage`; do not edit by hand.

Random weights, CPU, one thread, each model in a process of its own with a limit on time and memory, pictures as small
as the model allows. With up to three growable and three shrinkable units of each model, the first, a middle one and
the last: units are found (at least one that can grow and one that can go); copies at ratio 0 give the original's
outputs; copies at 1 and settled agree; the recipe replays from its JSON; gates at 1 give the original's outputs; gates
at 0 run, are finite, settle to fewer parameters and agree; one backward pass in train mode at ratio 0.5 reaches every
parameter that the original's backward reaches; the user's model is left as found. Outputs must be equal bit for bit or
to {tolerance:g} of the largest.
"""


def write(path: Path) -> None:
    """Write the document."""
    text = _HEAD.format(tolerance=TOLERANCE)
    for source in SOURCES:
        rows = read(source)
        if rows:
            text += "\n" + "\n".join(section(source, rows)) + "\n"
    path.write_text(text, encoding="utf-8")


def section(source: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    """The lines of one source."""
    out = {name: reason for name, row in rows.items() if (reason := exclusion(row))}
    tried = {name: row for name, row in rows.items() if name not in out}
    good = [name for name, row in tried.items() if passed(row)]
    lines = [f"## {_TITLES[source]}: {len(good)} of {len(tried)}", "", stamp(tried or rows), ""]
    lines += table(("kind", "passed", "tried"), counts(tried)) if source != "timm" else [families(tried)]
    if source == "timm" and len(rows) < SAMPLE:
        lines += ["", f"Not reached: {SAMPLE - len(rows)} of the sample of {SAMPLE}."]
    bad = {name: row for name, row in tried.items() if not passed(row)}
    if bad:
        lines += ["", "### What failed", ""]
        lines += table(("model", "check", "reason"), ((name, *failure(bad[name])) for name in sorted(bad)))
    refused = {name: str(row["refused"]) for name, row in tried.items() if row.get("refused")}
    if refused:
        lines += ["", "### Refused, as it should be", "", *table(("model", "reason"), sorted(refused.items()))]
    if out:
        lines += ["", "### Left out", "", *table(("model", "reason"), sorted(out.items()))]
    return lines


def exclusion(row: dict[str, Any]) -> str | None:
    """Why a model does not count: not tried at all, or too large for the memory it was given."""
    if row.get("excluded"):
        return str(row["excluded"])
    if row.get("out_of_memory") and row.get("params", 0) > LARGE:
        return f"{row['params'] / 1e6:,.0f} M parameters: the checks need more memory than there was"
    return None


def failure(row: dict[str, Any]) -> tuple[str, str]:
    """The checks that failed, and the first one's reason."""
    failed = [name for name in row["checks"] if row["checks"][name] != "ok"]
    return ", ".join(sorted(failed, key=lambda n: CHECKS.index(n) if n in CHECKS else -1)), row["checks"][failed[0]]


def counts(rows: dict[str, dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(group, passed, tried) in the order of the names."""
    total = Counter(row["group"] for row in rows.values())
    good = Counter(row["group"] for row in rows.values() if passed(row))
    return [(group.replace("_", " "), str(good[group]), str(total[group])) for group in sorted(total)]


def families(rows: dict[str, dict[str, Any]]) -> str:
    """How many families have all, some or none of their models through."""
    found = counts(rows)
    whole = sum(good == total for _, good, total in found)
    none = sum(good == "0" for _, good, _ in found)
    some = len(found) - whole - none
    return f"Families: {len(found)}; all of the sample passed in {whole}, some in {some}, none in {none}."


def stamp(rows: dict[str, dict[str, Any]]) -> str:
    """Dates, versions, code, time and the largest deviation of these rows."""
    dates = sorted({row["date"] for row in rows.values()})
    versions = {f"{name} {number}" for row in rows.values() for name, number in row["versions"].items()}
    codes = {row["code"] for row in rows.values()}
    age = "" if codes == {code_hash()} else "; some lines judge an earlier state of the code"
    minutes = sum(row["seconds"] for row in rows.values()) / 60
    worst = max((row.get("deviation", 0.0) for row in rows.values()), default=0.0)
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return (
        f"Measured {when}, {', '.join(sorted(versions))}{age}. {minutes:.0f} minutes in all; "
        f"the largest difference let pass is {worst:.1e} of the largest output."
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table; bars in a cell are escaped."""
    head = list(head)
    body = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in body)]
