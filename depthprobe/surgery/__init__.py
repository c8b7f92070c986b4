"""Edits as data, and what they do to a network: apply, undo, settle, recipes, optimizers."""

from depthprobe.surgery.edited import Edited, apply, settle, settle_with_map, undo
from depthprobe.surgery.edits import Duplicate, Edit, Gate, Narrow, Remove, recipe_from_json, recipe_to_json
from depthprobe.surgery.optimizer import move_optimizer, new_parameters

__all__ = [
    "Duplicate",
    "Edit",
    "Edited",
    "Gate",
    "Narrow",
    "Remove",
    "apply",
    "move_optimizer",
    "new_parameters",
    "recipe_from_json",
    "recipe_to_json",
    "settle",
    "settle_with_map",
    "undo",
]
