"""One arm of one seed: where its run folder is, what must be trained before it, and the line it leaves."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from examples.paper.arm import Arm
from examples.paper.data import open_split
from examples.paper.line import make_line
from examples.paper.lines import append_line, key_of, read_lines
from examples.paper.rows import Row
from examples.paper.train import train_arm


def folder_of(out: Path, row: Row, arm: Arm, seed: int) -> Path:
    """The run folder of an arm: another one when its settings are others."""
    settings = json.dumps(row.settings_of(arm), sort_keys=True).encode()
    name = re.sub("[^a-z0-9]+", "-", arm.name.lower())
    return out / "runs" / row.scale / f"{row.name}-{name}-seed{seed}-{hashlib.sha256(settings).hexdigest()[:6]}"


def run_arm(row: Row, arm: Arm, seed: int, out: Path, data_dir: Path | None) -> dict[str, Any]:
    """Train an arm, and first the one whose weights it starts from; returns its line."""
    path, start = out / f"{row.scale}.jsonl", row.arm(arm.start) if arm.start else None
    done = {key_of(line): line for line in read_lines([path])}
    if known := done.get((row.name, arm.name, seed, row.scale)):
        return known
    if start is not None:
        run_arm(row, start, seed, out, data_dir)
    s = row.settings
    split = open_split(s["dataset"], s.get("image"), s.get("limit"), data_dir)
    first = folder_of(out, row, start, seed) if start else None
    summary = train_arm(row, arm, seed, split, folder_of(out, row, arm, seed), first)
    line = make_line(row, arm, seed, int(split.train.y.max()) + 1, summary)
    append_line(path, line)
    error = "failed" if line["test_error"] is None else f"{100 * line['test_error']:.2f} % error"
    print(f"{row.name}: {arm.name}, seed {seed}: {error}, {line['seconds']:.0f} s", flush=True)
    return line
