"""Results as JSON lines: one per finished arm and seed, appended whole, read back without a torn last one."""

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import depthprobe
from examples.paper.arm import Arm
from examples.paper.rows import Row

LEFT_CHANCE = 3.0  # an arm has converged when its test accuracy is that many times the share of one class


def make_line(row: Row, arm: Arm, seed: int, classes: int, summary: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an arm."""
    error = summary["test_error"]
    return {
        "row": row.name,
        "arm": arm.name,
        "seed": seed,
        "scale": row.scale,
        **summary,
        "classes": classes,
        "converged": error is not None and 1.0 - error >= LEFT_CHANCE / classes,
        "settings": {**row.settings, "args": {**row.args, **arm.args}, **row.solver},
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "depthprobe": depthprobe.__version__
        },
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": typed(sys.argv[1:]),
    }  # fmt: skip


def typed(words: list[str]) -> str:
    """The command, without the places on this machine."""
    places = {"--data-dir": "DATA", "--out": "OUT"}
    shown = [places.get(before, word) for before, word in pairwise(["", *words])]
    return shlex.join(["python", "-m", "examples.paper", *shown])


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
    """All whole lines, the last one of each arm, seed and scale."""
    found = {}
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # torn by a process that was killed
            found[key_of(line)] = line
    return list(found.values())


def key_of(line: dict[str, Any]) -> tuple[str, str, int, str]:
    """What a line is about: row, arm, seed, scale."""
    return line["row"], line["arm"], line["seed"], line["scale"]
