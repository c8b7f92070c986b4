"""The line that a finished arm leaves: what it measured, with what, when and by which command."""

import datetime
import platform
import shlex
import sys
from itertools import pairwise
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
        "settings": row.settings_of(arm),
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
