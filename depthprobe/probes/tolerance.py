"""The tolerance of a probe: as asked, or what its data can resolve; fixed before training, and said in words."""

from dataclasses import replace
from typing import TypeVar

from depthprobe.analysis.tolerance import Tolerance
from depthprobe.config import GrowConfig, ShrinkConfig, WidthConfig
from depthprobe.counting import number_of
from depthprobe.training.metrics import Metric

C = TypeVar("C", GrowConfig, ShrinkConfig, WidthConfig)


def fix_tolerance(config: C, auto: Tolerance, metric: Metric) -> C:
    """The settings with the name of the metric and a tolerance: as asked, else that of `auto`."""
    tolerance = config.tolerance if config.tolerance is not None else round(auto.value, 4)
    return replace(config, metric=metric.spec, tolerance=tolerance)


def say_tolerance(
    config: GrowConfig | ShrinkConfig | WidthConfig, auto: Tolerance, examples: int, folds: int, metric: Metric
) -> str:
    """The tolerance in words: where it comes from, and what a finer one would take."""
    if not metric.known_scale:
        return f"tolerance {config.tolerance:g} of {metric.name} (as asked)"
    per = f"{examples} validation examples{' per seed' if folds > 1 else ''} and {number_of(config.seeds, 'seed')}"
    if config.tolerance is not None and abs(config.tolerance - round(auto.value, 4)) > 1e-9:
        reach = auto.resolvable
        finer = "" if reach <= config.tolerance else f"; {per} resolve about {reach:.4f} only"
        return f"tolerance {config.tolerance:.4f} (as asked){finer}"
    if auto.value <= auto.target:
        return f"tolerance {auto.value:.4f}: {per} can resolve it"
    needed, seeds = auto.both_needed or (examples, config.seeds)
    return (
        f"tolerance {auto.value:.4f}: the smallest step that {per} can be expected to resolve; "
        f"{auto.target:g} would take about {number_of(seeds, 'seed')} with {needed} examples"
        f"{' each' if folds > 1 else ''}"
    )
