"""All records of runs as one table, for a spreadsheet or a data frame."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depthprobe.reports.reading import Run
from depthprobe.reports.writing import write_page

FIRST = ("run", "kind", "arm", "seed", "rate", "step", "walk", "opened", "depth", "place", "value", "loss", "examples")
LEFT_OUT = ("scores", "scores32")  # of single examples: packed bits, in records.jsonl


def write_records(runs: Sequence[Run], target: Path) -> None:
    """Write every record of `runs` to `target` as CSV with a head, whole or not at all. Raises RunFolderError.

    Columns: those of FIRST that occur, then the others by name, the ratio of each gate under its name at last. Nothing
    is thinned; arms at other learning rates and trainings from scratch are in it.
    """
    rows = [{"run": run.path.absolute().name, **_row(run, record)} for run in runs for record in run.everything]
    found = dict.fromkeys(key for row in rows for key in row)
    gates = [key for key in found if key.startswith(GATE)]
    others = sorted(key for key in found if key not in FIRST and key not in gates)
    columns = [*(key for key in FIRST if key in found), *others, *gates]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_page(text.getvalue(), target)


GATE = "ratio of "


def _row(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """A record, flat: ratios under the names of their gates."""
    row = {key: _plain(value) for key, value in record.items() if key not in LEFT_OUT and key != "ratios"}
    ratios = record.get("ratios") or ()
    names = run.config.get("gates") or ()
    known = names if len(names) == len(ratios) else range(1, len(ratios) + 1)
    return {**row, **{f"{GATE}{name}": ratio for name, ratio in zip(known, ratios, strict=True)}}


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value
