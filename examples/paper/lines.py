"""Results as JSON lines: one per finished arm and seed, appended whole, read back without a torn last one."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from examples.paper.rows import ORDER, read_row


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append, on disk before it returns; behind a torn last line a new one begins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        torn = file.read(1) not in (b"", b"\n")
        file.write((b"\n" if torn else b"") + json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """All whole lines that are current, the last one of each arm, seed and scale."""
    found = {}
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # torn by a process that was killed
            if is_current(line):
                found[key_of(line)] = line
    return list(found.values())


def is_current(line: dict[str, Any]) -> bool:
    """Whether the rows, as they are now, would train this arm with the line's settings."""
    row = read_row(line["row"], line["scale"]) if line["row"] in ORDER else None
    arms = [arm for arm in row.arms if arm.name == line["arm"]] if row else []
    return any(row.settings_of(arm) == line["settings"] for arm in arms)


def key_of(line: dict[str, Any]) -> tuple[str, str, int, str]:
    """What a line is about: row, arm, seed, scale."""
    return line["row"], line["arm"], line["seed"], line["scale"]
