"""Key/value caches: a copy has no place in the cache that a model makes for its own layers, so caching goes off."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from depthprobe.graph.trace import Traced
from depthprobe.surgery.plans import UnitPlan

_WAS_ON = "use_cache_before_depthprobe"


def turn_off_caches(traced: Traced, plans: Mapping[str, UnitPlan]) -> None:
    """Where units that get a cache are copied or left out, the configurations of the copied model say `use_cache` no.

    The network then computes every token at every call: slower when generating, and right.
    """
    touched = [plan.block for plan in plans.values() if plan.block is not None and not plan.idle]
    if any(block.wiring.caches for block in touched):
        for config in _configs(traced.original):
            if getattr(config, "use_cache", False):
                config.use_cache = False
                vars(config)[_WAS_ON] = True


def turn_on_caches(model: nn.Module) -> None:
    """Undo of `turn_off_caches`."""
    for config in _configs(model):
        if vars(config).pop(_WAS_ON, False):
            config.use_cache = True


def _configs(model: nn.Module) -> list[Any]:
    found = {id(c): c for m in model.modules() if hasattr(c := getattr(m, "config", None), "__dict__")}
    return list(found.values())
