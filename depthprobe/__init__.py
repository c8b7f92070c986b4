"""depthprobe: how deep and how wide should my network be? One probe run, a curve, an interval, one sentence.

The public names load on first use, so `import depthprobe` is cheap and imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthprobe.graph.units import Unit, units
    from depthprobe.layers.dropin import DropIn
    from depthprobe.layers.resize import Resize
    from depthprobe.probes.api import grow, shrink, width
    from depthprobe.surgery.edited import apply, settle, undo
    from depthprobe.surgery.edits import Duplicate, Gate, Narrow, Remove, recipe_from_json, recipe_to_json
    from depthprobe.surgery.optimizer import move_optimizer

__version__ = "0.1.0"

_HOMES = {
    "DropIn": "layers.dropin",
    "Duplicate": "surgery.edits",
    "Gate": "surgery.edits",
    "Narrow": "surgery.edits",
    "Remove": "surgery.edits",
    "Resize": "layers.resize",
    "Unit": "graph.units",
    "apply": "surgery.edited",
    "grow": "probes.api",
    "move_optimizer": "surgery.optimizer",
    "recipe_from_json": "surgery.edits",
    "recipe_to_json": "surgery.edits",
    "settle": "surgery.edited",
    "shrink": "probes.api",
    "undo": "surgery.edited",
    "units": "graph.units",
    "width": "probes.api",
}

__all__ = [
    "DropIn",
    "Duplicate",
    "Gate",
    "Narrow",
    "Remove",
    "Resize",
    "Unit",
    "apply",
    "grow",
    "move_optimizer",
    "recipe_from_json",
    "recipe_to_json",
    "settle",
    "shrink",
    "undo",
    "units",
    "width",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'depthprobe' has no attribute {name!r}")
    return getattr(importlib.import_module(f"depthprobe.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
