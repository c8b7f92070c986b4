"""From a finished study to its answer: recommendation.json, best.toml, plots.json."""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.units import Units
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.counting import number_of
from depthprobe.runs import RunFolder
from depthprobe.tuning.confirm import Contender, lost_note, pick
from depthprobe.tuning.plots import draw_plots
from depthprobe.tuning.queue import Queue, by_slot, last_attempts
from depthprobe.tuning.quiet import quietly
from depthprobe.tuning.setup import TuneSetup
from depthprobe.tuning.stairs import configured

SCHEMA = 1
BEST, PLOTS = "best.toml", "plots.json"
EVALUATOR = "PED-ANOVA (optuna.importance.PedAnovaImportanceEvaluator)"
GROW_KEYS = (
    "copies", "sites", "max_depth", "metric", "split_seed", "kernel", "init", "mode", "granularity", "max_scale",
    "schedule", "overlap", "opening", "first_share", "up_share", "up_hold_share", "cool_share",
)  # fmt: skip
TRAIN_KEYS = (
    "steps", "batch_size", "accumulate", "precision", "optimizer", "lr", "momentum", "weight_decay", "new_lr_scale",
    "clip", "augment",
)  # fmt: skip


def conclude_tuning(
    setup: TuneSetup, folder: RunFolder, search: Queue, confirm: Queue, contenders: Sequence[Contender], seconds: float
) -> dict[str, Any]:
    """Write best.toml, plots.json and, last, recommendation.json; returns the last."""
    tolerance = setup.base.config.tolerance or TARGET
    best = pick(contenders, pareto=setup.config.pareto, tolerance=tolerance)
    first = setup.base.config.seed
    lost = lost_note(contenders, first)
    document = {
        "schema": SCHEMA,
        "command": "tune",
        **_verdict(setup, contenders, best),
        "metric": setup.bench.metric.name,
        "fraction": setup.bench.metric.fraction,
        "tolerance": tolerance,
        "confidence": setup.base.config.confidence,
        "seeds": [first + rank for rank in confirm_ranks(setup)],
        "default": contender_json(contenders[0], first),
        "best": contender_json(best, first),
        "confirmed": [contender_json(one, first) for one in contenders],
        "trials": count_trials(search),
        "importance": {"evaluator": EVALUATOR, "values": importances(search)},
        "cost": total_cost(setup, search, confirm, seconds),
        "config_file": BEST,
        "notes": [*setup.notes, setup.base.lr_note, *([lost] if lost else [])],
    }
    folder.write_text(BEST, config_text(setup, best))
    folder.write_json(PLOTS, draw_plots(search, setup.bench.metric.name, setup.config))
    folder.write_json("recommendation.json", document)
    return document


def confirm_ranks(setup: TuneSetup) -> list[int]:
    """Ranks of the fresh seeds: those after the seeds of the search."""
    return list(range(setup.config.seeds, setup.config.seeds + setup.config.confirm_seeds))


def contender_json(one: Contender, first: int) -> dict[str, Any]:
    """Plain values; "value" is the mean over the fresh seeds, "searched" what the search saw, "lost" the seeds whose
    training came to no end. first: the seed of rank 0.
    """
    searched = one.searched if math.isfinite(one.searched) else None
    row = {**asdict(one), "searched": searched, "lost": [first + rank for rank in one.lost]}
    return {"trial": row.pop("slot"), "value": one.mean, **row}


def _verdict(setup: TuneSetup, contenders: Sequence[Contender], best: Contender) -> dict[str, Any]:
    gain = best.gain
    exceeds = gain is not None and gain["low"] > 0.0
    verdict = "keep" if best is contenders[0] else "tuned"
    return {"verdict": verdict, "gain_exceeds_noise": exceeds, "sentence": say(setup, contenders, best)}


def say(setup: TuneSetup, contenders: Sequence[Contender], best: Contender) -> str:
    """The answer in one sentence, with whether the gain exceeds the noise."""
    units = Units(
        metric=setup.bench.metric.name, fraction=setup.bench.metric.fraction,
        tolerance=setup.base.config.tolerance or TARGET,
    )  # fmt: skip
    default, count, level = contenders[0], setup.config.confirm_seeds, setup.base.config.confidence
    on = f"on {number_of(count, 'fresh seed')}"
    if best is not default:
        exceeds = best.gain is not None and best.gain["low"] > 0.0
        why = "the gain exceeds the noise" if exceeds else "it is no worse than the tolerance"
        return (
            f"Use trial {best.slot}: {units.metric} {_value(default, units)} -> {_value(best, units)} {on}"
            f"{_gain(best, units, level)}; {why}, at {best.cost / default.cost:.2f} times the cost of the default."
        )
    start = f"Keep the default: {units.metric} {_value(default, units)} {on}"
    rivals = [one for one in contenders[1:] if one.gain is not None]
    if not rivals:
        why = "one seed cannot tell a gain from chance" if count == 1 else "no other trial could be compared with it"
        return f"{start}; {why}."
    rival = max(rivals, key=lambda one: one.gain["value"] if one.gain else -math.inf)
    worse = rival.gain is not None and rival.gain["high"] < 0.0
    return (
        f"{start}; the best of {setup.config.trials} trials, {rival.slot}, has {_value(rival, units)}"
        f"{_gain(rival, units, level)}: {'worse' if worse else 'within the noise'}."
    )


def _value(one: Contender, units: Units) -> str:
    failed = sum(value is None for value in one.values)
    text = units.value(one.mean) if one.mean is not None else "nothing"
    text += f" ({failed} of {len(one.values)} diverged)" if failed else ""
    return text + (f" ({len(one.lost)} lost)" if one.lost else "")


def _gain(one: Contender, units: Units, confidence: float) -> str:
    if one.gain is None:
        return ""
    low, high = (units.signed(one.gain[name], unit=False) for name in ("low", "high"))
    return f" (gain {units.signed(one.gain['value'])}, {confidence:.0%} bounds {low} and {high})"


def count_trials(search: Queue) -> dict[str, int]:
    """How the trials of the search ended; retried: those that were run again after a worker was lost."""
    ends, slots = last_attempts(search), by_slot(search.get_trials(deepcopy=False))
    states = [trial.state for trial in ends]
    return {
        "total": len(ends),
        "complete": states.count(TrialState.COMPLETE),
        "pruned": states.count(TrialState.PRUNED),
        "failed": states.count(TrialState.FAIL),
        "retried": sum(len(attempts) > 1 for attempts in slots.values()),
    }


def importances(search: Queue) -> dict[str, float]:
    """Share of each choice in what the accuracy varies by (with two objectives, in both), the largest first; nothing
    for fewer than two complete trials.
    """
    complete = search.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2:
        return {}
    with quietly():
        found = optuna.importance.get_param_importances(search)
    return {name: round(float(value), 4) for name, value in found.items() if math.isfinite(value)}


def total_cost(setup: TuneSetup, search: Queue, confirm: Queue, seconds: float) -> dict[str, Any]:
    """What the whole study took; trainings: in conventional trainings of the deepest candidate."""
    trials = [*last_attempts(search), *last_attempts(confirm)]
    bills = [run for trial in trials for run in [*trial.user_attrs.get("runs", []), trial.user_attrs.get("cut") or {}]]
    trainings = sum(_paid(setup, trial) for trial in trials)
    return {
        "trainings": round(trainings, 2),
        "steps": sum(bill.get("updates", 0) for bill in bills),
        "sample_passes": sum(bill.get("samples", 0) for bill in bills),
        "wall_seconds": round(seconds, 1),
    }


def _paid(setup: TuneSetup, trial: FrozenTrial) -> float:
    attributes = trial.user_attrs
    share = float((attributes.get("cut") or {}).get("updates", 0)) / setup.budget.updates
    return float(attributes.get("cost", 0.0)) * float(len(attributes.get("runs", [])) + min(1.0, share))


def config_text(setup: TuneSetup, best: Contender) -> str:
    """A TOML file that `depthprobe grow --config` takes: the stairs of the search, with the settings of `best`."""
    grow, train = configured(best.settings, setup.base.config, setup.bench.train)
    where = "the default" if best.slot == 0 else f"trial {best.slot}"
    head = f"# {where} of {setup.config.trials}, by depthprobe tune"
    use = json.dumps(shlex.join(["depthprobe", "grow", *_inputs(setup), "--config", BEST]))
    kept = {**_picked(grow, GROW_KEYS), "candidates": list(setup.budget.opened[1:])}
    parts = [head, f"# {use[1:-1]}", "", "[train]", *_lines(_picked(train, TRAIN_KEYS)), "", "[grow]", *_lines(kept)]
    return "\n".join(parts) + "\n"


def _inputs(setup: TuneSetup) -> list[str]:
    """The model and the data as words of a command line that holds in any folder."""
    model, source = setup.base.model.to_json(), setup.base.data_source.anchored
    args: Any = model.get("args") or {}
    options: list[tuple[str, object]] = [("--model-args", f"{name}={value}") for name, value in args.items()]
    options += [("--dataset", source.spec), ("--data-dir", source.data_dir)]
    options += [("--limit-train", source.limit_train), ("--image-size", source.image_size)]
    return [str(model["spec"]), *(str(word) for pair in options if pair[1] is not None for word in pair)]


def _picked(config: GrowConfig | TrainConfig, keys: Sequence[str]) -> dict[str, Any]:
    return {key: getattr(config, key) for key in keys if getattr(config, key) is not None}


def _lines(settings: dict[str, Any]) -> list[str]:
    """JSON's strings, numbers, booleans and lists are TOML's."""
    return [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
