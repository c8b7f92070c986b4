"""What was found, one JSON line per try: the last line of a model counts."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STORE = ROOT / "benchmarks" / "results" / "coverage"
JUDGED = ("depthprobe/graph", "depthprobe/surgery", "depthprobe/layers", "depthprobe/ops", "benchmarks/zoo/checks.py")


def code_hash() -> str:
    """Of the sources that the checks judge, and of the checks: what was found under another hash may be out of date."""
    digest = hashlib.sha256()
    for place in JUDGED:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def read(source: str, folder: Path = STORE) -> dict[str, dict[str, Any]]:
    """The last whole line of every model, by name. A torn line (a killed run) is passed over."""
    path = folder / f"{source}.jsonl"
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[row["name"]] = row
    return found


def append(row: dict[str, Any], folder: Path = STORE) -> None:
    """Add a line to the file of the row's source; a torn one before it is ended first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{row['source']}.jsonl"
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + json.dumps(row) + "\n")


def tidy(source: str, folder: Path = STORE) -> None:
    """One line per model, by name: what a finished run leaves."""
    rows = read(source, folder)
    if rows:
        text = "".join(json.dumps(rows[name]) + "\n" for name in sorted(rows))
        (folder / f"{source}.jsonl").write_text(text, encoding="utf-8")


def passed(row: dict[str, Any]) -> bool:
    """Whether every check of the row is ok."""
    return bool(row.get("checks")) and all(text == "ok" for text in row["checks"].values())


def wanted(names: Iterable[str], rows: dict[str, dict[str, Any]], again: str, now: str) -> list[str]:
    """Which models to try. again: no (only those without a line) | failed | stale (another code) | all.

    Whatever was tried under the code as it is now is left alone, unless `again` is all.
    """

    def due(name: str) -> bool:
        row = rows.get(name)
        if row is None or again == "all":
            return True
        other = row["code"] != now
        return other and (again == "stale" or (again == "failed" and not passed(row)))

    return [name for name in names if due(name)]
