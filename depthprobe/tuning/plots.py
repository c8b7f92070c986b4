"""Optuna's plots of a search, as plotly's JSON: a report draws them when the storage is long gone."""

import json
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from depthprobe.tuning.config import TuneConfig
from depthprobe.tuning.queue import Queue
from depthprobe.tuning.quiet import quietly

SLICES = 6  # settings that are drawn one by one: the most important


def draw_plots(search: Queue, metric: str, config: TuneConfig) -> dict[str, Any]:
    """Plots by name; none for fewer than two complete trials, and those left out that have nothing to show."""
    if len(search.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < 2:
        return {}
    plots: Any = optuna.visualization
    with quietly():
        ranked = list(optuna.importance.get_param_importances(search))
    first: dict[str, Any] = {"target": _first, "target_name": metric}
    drawn: dict[str, Callable[[], Any]] = {
        "history": lambda: plots.plot_optimization_history(search, **first),
        "importance": lambda: plots.plot_param_importances(search),
        "slices": lambda: plots.plot_slice(search, params=ranked[:SLICES], **first),
        "parallel": lambda: plots.plot_parallel_coordinate(search, **first),
    }
    if config.pareto:
        drawn["pareto"] = lambda: plots.plot_pareto_front(search, target_names=[metric, "cost"])
    if config.pruner != "none":
        drawn["intermediate"] = lambda: plots.plot_intermediate_values(search)
    with quietly():
        return {name: json.loads(draw().to_json()) for name, draw in drawn.items()}


def _first(trial: FrozenTrial) -> float:
    """The metric, the first of one or two objectives."""
    return float(trial.values[0])
