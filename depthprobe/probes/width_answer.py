"""The answer of a width probe: how narrow every unit may be, and the narrower network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from depthprobe.analysis.automatic import decide_automatically
from depthprobe.analysis.budgets import accelerates_at, compare_speed, pareto
from depthprobe.analysis.decision import Decision
from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.units import Units
from depthprobe.analysis.width_sentence import reasons_of_width, say_width
from depthprobe.graph.costs import measure_latency_ms
from depthprobe.probes.answer import Failure, Recommendation, as_json, read_failures, read_scores, within
from depthprobe.probes.conclusion import FLOORS, all_failed, highest_chance, latency_facts, score_test
from depthprobe.probes.notebook import CANDIDATES
from depthprobe.probes.profiles import skeleton
from depthprobe.probes.result import Result
from depthprobe.probes.sensitivity import finished_seeds
from depthprobe.probes.setup import about_model
from depthprobe.probes.shrink_answer import measured_by_all, say_coarser
from depthprobe.probes.trained import compose
from depthprobe.probes.width_plan import WidthPlan
from depthprobe.probes.width_setup import WidthSetup, forecast_width
from depthprobe.runs import RunFolder
from depthprobe.surgery import recipe_to_json

Records = Sequence[Mapping[str, Any]]


def conclude_width(setup: WidthSetup, folder: RunFolder, seconds: float) -> Result:
    """Decide on the records of a completed probe; write recipe, model and, last, the recommendation."""
    plan, config, metric = setup.bench.plan, setup.config, setup.bench.metric
    records = list(folder.records())
    failures = read_failures(records)
    failed = {failure.seed for failure in failures}
    seeds = finished_seeds(records, setup.seeds, 1.0)
    percents = measured_by_all(records, plan, [seed for seed in seeds if seed not in failed])
    scores = read_scores(records, percents, seeds)
    if not scores:
        raise all_failed(setup.bench, folder, failures)
    scores, trained_on = longest_trained(scores)
    tolerance = config.tolerance or TARGET
    ask = partial(
        decide_automatically if setup.tolerance_auto else decide,
        depths=percents,
        current=plan.base.opened,
        tolerance=tolerance,
        confidence=config.confidence,
        floor=highest_chance(setup.bench, 1),
        scale=1.0 if metric.known_scale else tolerance / TARGET,
        floor_is=FLOORS.get(metric.spec, ""),
    )
    decision = ask(scores)
    units = Units(metric=metric.name, fraction=metric.fraction, tolerance=decision.tolerance)
    kept = decision.recommended if decision.verdict == "shrink" and decision.recommended else plan.base.opened
    net = kept_network(setup, folder, kept)
    rows = candidate_rows(setup, decision)
    width = width_json(setup, decision, rows, kept)
    recommendation = Recommendation(
        command="width",
        verdict="narrow" if decision.verdict == "shrink" else decision.verdict,
        sentence=say_width(
            decision,
            [row for row in width["units"] if row["recommended"] < row["current"]] if kept < plan.base.opened else [],
            units=units,
            seeds=len(seeds),
            failed_seeds=len(failed),
            uneven=plan.profile == "uneven",
        ),
        metric=metric.name,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        resolution=decision.resolution,
        seeds=seeds,
        failed_seeds=sorted(failed),
        depth=depth_json(plan, rows[[row["ratio"] for row in rows].index(kept / 100)], width["latency"]),
        width=width,
        add=[],
        remove=[],
        control=within(decision.control, metric.bounds),
        verified=None,
        cost=cost_json(plan, config.seeds, records, seconds),
        gain={"over_current": as_json(decision.gain), "over_control": as_json(decision.gain_over_control)},
        test={**score_test(setup.bench, net, 0), "before": score_test(setup.bench, setup.model.build(), 0)["value"]},
        notes=_notes(setup, decision, failures, tolerance, units, trained_on),
        fraction=metric.fraction,
    )
    _write(setup, folder, kept, net, recommendation)
    return Result(folder.path, recommendation, net)


def longest_trained(scores: list[SeedScores]) -> tuple[list[SeedScores], str]:
    """The scores with the network as it is at its best: measured before anything was cut, or, where that is better,
    trained on as long as the narrowest (the control). A narrower network must not win by its longer training.
    """
    first = sum(float(one.candidates[-1].mean()) for one in scores)
    control = sum(float(one.control.mean()) for one in scores)
    if control <= first:
        return scores, "at the beginning of the walk"
    replaced = [replace(one, candidates=np.vstack([one.candidates[:-1], one.control[None]])) for one in scores]
    return replaced, "trained on as long as the whole walk (the control)"


def candidate_rows(setup: WidthSetup, decision: Decision) -> list[dict[str, Any]]:
    """One row per measured ratio, ascending: value with interval, params, macs, measured latency; pareto: no other is
    as good with fewer of both (measured times differ from run to run, and decide nothing).
    """
    plan, device = setup.bench.plan, setup.bench.accelerator.device
    x = setup.bench.split(0).train.x[: setup.bench.train.batch_size]
    costs = {candidate.opened: candidate for candidate in plan.candidates}
    rows = []
    for percent, estimate in zip(decision.depths, decision.candidates, strict=True):
        net = skeleton(setup.model.build(), plan.units, plan.widths[percent], x[:2]).to(device)
        rows.append(
            {
                "ratio": percent / 100,
                **within(estimate, setup.bench.metric.bounds),
                "params": costs[percent].params,
                "macs": costs[percent].macs,
                "latency_ms": round(measure_latency_ms(net, x.to(device)), 4),
            }
        )
    return [{**row, "pareto": best} for row, best in zip(rows, pareto(rows, ("params", "macs")), strict=True)]


def width_json(setup: WidthSetup, decision: Decision, rows: list[dict[str, Any]], kept: int) -> dict[str, Any]:
    """The `width` part of a recommendation. rows: of `candidate_rows`; kept: percent of the network that is saved."""
    plan, percents = setup.bench.plan, list(decision.depths)
    values = [estimate.value for estimate in decision.candidates]
    knee = accelerates_at(percents, values, decision.tolerance / 10)  # the losses are per percent
    return {
        "current": 1.0,
        "recommended": None if decision.recommended is None else decision.recommended / 100,
        "best_guess": decision.best_guess / 100,
        "range95": [percent / 100 for percent in decision.range95] if decision.range95 else None,
        "resamples": {f"{percent / 100:g}": share for percent, share in (decision.resamples or {}).items()},
        "fitted": list(decision.fitted) if decision.fitted else None,
        "candidates": rows,
        "latency": latency_facts(setup.bench),
        "accelerates_at": None if knee is None else knee / 100,
        "speed_ms": compare_speed(rows[-1], rows[percents.index(kept)]),
        "units": [_unit(setup, decision, rank) for rank in range(len(plan.units))],
        "fixed": [{"name": one.unit, "current": one.width, "reason": one.reason or "not asked"} for one in plan.others],
        "profile": plan.profile,
        "untrained": [_with_profiles(setup, row) for row in setup.untrained.together],
    }


def _with_profiles(setup: WidthSetup, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of what the network is worth untrained, at equal shares and at uneven ones (None: not measured)."""
    percent, untrained = str(round(100 * row["ratio"])), setup.untrained
    return {**row, "equal": untrained.equal.get(percent), "uneven": untrained.uneven.get(percent)}


def _unit(setup: WidthSetup, decision: Decision, rank: int) -> dict[str, Any]:
    """One unit: its widths, what it is worth alone without training, and the least of them that loses nothing."""
    plan, unit = setup.bench.plan, setup.bench.plan.units[rank]
    alone = list(setup.untrained.alone[unit.unit])
    enough = [row["width"] for row in alone if row["value"] >= setup.untrained.whole - decision.tolerance]
    return {
        "name": unit.unit,
        "members": list(unit.members),
        "current": unit.width,
        "recommended": None if decision.recommended is None else plan.widths[decision.recommended][unit.unit],
        "enough_alone": min(enough, default=unit.width),
        "candidates": alone,
    }


def depth_json(plan: WidthPlan, row: Mapping[str, Any], latency: Mapping[str, Any]) -> dict[str, Any]:
    """The `depth` part: it stays. row: of the network that is saved."""
    facts = {name: row[name] for name in ("value", "low", "high", "params", "macs", "latency_ms")}
    stays = {"current": plan.layers, "recommended": plan.layers, "best_guess": plan.layers}
    empty: dict[str, Any] = {"range95": None, "resamples": {}, "fitted": None}
    return {**stays, **empty, "candidates": [{"depth": plan.layers, **facts}], "latency": dict(latency)}


def cost_json(plan: WidthPlan, seeds: int, records: Records, seconds: float) -> dict[str, Any]:
    """The `cost` part, from what was really trained."""
    planned = forecast_width(plan, seeds)
    done = [record for record in records if record["kind"] == "arm"]
    steps = sum(record["updates"] for record in done)
    return {
        "steps": steps,
        "sample_passes": sum(record["samples"] for record in done),
        "wall_seconds": round(seconds, 1),
        "trainings": round(planned.trainings * steps / max(1, planned.updates), 2),
    }


def kept_network(setup: WidthSetup, folder: RunFolder, percent: int) -> nn.Module:
    """The fine-tuned network of the first seed that did not fail; the checkpoint's where nothing becomes narrower."""
    plan, network = setup.bench.plan, setup.model.build()
    if percent == plan.base.opened:
        return network
    saved = folder.read_torch(f"{CANDIDATES}/{percent}.pt")
    net = skeleton(network, plan.units, plan.widths[percent], setup.bench.split(0).train.x[:2])
    net.load_state_dict(saved["state_dict"])
    return net


def _notes(
    setup: WidthSetup,
    decision: Decision,
    failures: Sequence[Failure],
    planned: float,
    units: Units,
    trained_on: str,
) -> list[str]:
    plan, percents = setup.bench.plan, decision.depths
    notes = [f"seed {f.seed}: {f.what}" for f in failures] + reasons_of_width(decision) + list(setup.notes)
    notes += [setup.lr_note, *say_coarser(decision, planned, units), f"the network as it is was measured {trained_on}"]
    if len(percents) < len(plan.opened):
        notes.append(f"the walk was given up below {percents[0]} %: the loss was beyond recovery")
    if decision.recommended == plan.base.opened and len(percents) > 1:
        slope = decision.candidates[-1].value - decision.candidates[-2].value
        if slope > decision.tolerance:
            notes.append(
                f"the curve still rises at the edge, by {units.size(slope)} from {percents[-2]} %: "
                "wider than tested may pay"
            )
    notes.append(_say_profile(plan))
    return notes


def _say_profile(plan: WidthPlan) -> str:
    if plan.profile == "equal":
        return "widths were measured together, every unit at the same share of its channels"
    return (
        "units are unevenly wide, as their readers can do with: at each ratio together with at most the "
        "multiply-accumulates of that share of the channels everywhere"
    )


def _write(setup: WidthSetup, folder: RunFolder, percent: int, net: nn.Module, recommendation: Recommendation) -> None:
    """The recommendation last: a run is finished when it is there."""
    text = recipe_to_json(compose(setup.model.recipe, setup.bench.plan.recipe(percent)))
    about = about_model(
        setup.model.source,
        setup.data_source,
        setup.data,
        split=setup.split_of,
        train=replace(setup.bench.train, lr=setup.model.rate or setup.bench.train.lr),
        recipe=text,
        device=str(setup.bench.accelerator.device),
    )
    folder.write_text("recipe.json", text)
    folder.write_torch("model.pt", {"state_dict": net.state_dict(), "depthprobe": about})
    folder.write_json("recommendation.json", recommendation.to_json())
