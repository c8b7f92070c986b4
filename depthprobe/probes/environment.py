"""What a run was made with: versions, machine, command."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("depthprobe", "torch", "accelerate", "numpy", "scipy", "scikit-learn", "plotly", "optuna", "torch-pruning")


def describe_environment(device: str) -> dict[str, Any]:
    """environment.json: command line, versions, device, threads."""
    return {
        "command_line": _command_line(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": device,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _command_line() -> list[str]:
    """What was typed: the verb, or the script that called `dp.grow`."""
    script = Path(sys.argv[0]).name
    return ["depthprobe", *sys.argv[1:]] if script in ("depthprobe", "__main__.py") else ["python", *sys.argv]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
