"""The answer of a shrink probe: what can go, by name, and the smaller network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from depthprobe.analysis.automatic import decide_automatically
from depthprobe.analysis.budgets import accelerates_at, compare_speed, pareto
from depthprobe.analysis.decision import Decision
from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.sentence import say
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.units import Units
from depthprobe.probes.answer import (
    Recommendation,
    as_json,
    depth_json,
    read_failures,
    read_scores,
    within,
)
from depthprobe.probes.bench import Plan
from depthprobe.probes.conclusion import (
    FLOORS,
    all_failed,
    candidate_costs,
    highest_chance,
    latency_facts,
    score_test,
)
from depthprobe.probes.cost import cost_json
from depthprobe.probes.notebook import CANDIDATES
from depthprobe.probes.result import Result
from depthprobe.probes.sensitivity import finished_seeds
from depthprobe.probes.setup import about_model, recipe_network
from depthprobe.probes.shrink_setup import ShrinkSetup
from depthprobe.probes.trained import compose, removals
from depthprobe.runs import RunFolder
from depthprobe.surgery import recipe_to_json

Records = Sequence[Mapping[str, Any]]


def conclude_shrink(setup: ShrinkSetup, folder: RunFolder, seconds: float) -> Result:
    """Decide on the records of a completed probe; write recipe, model and, last, the recommendation."""
    plan, config, metric = setup.bench.plan, setup.config, setup.bench.metric
    records = list(folder.records())
    failures = read_failures(records)
    seeds = finished_seeds(records, setup.seeds, 1.0)
    opened = measured_by_all(records, plan, [seed for seed in seeds if seed not in {f.seed for f in failures}])
    scores = read_scores(records, opened, seeds)
    if not scores:
        raise all_failed(setup.bench, folder, failures)
    scores, trained_on = longest_trained(scores)
    depths = [plan.depths[plan.opened.index(count)] for count in opened]
    tolerance = config.tolerance or TARGET
    ask = partial(
        decide_automatically if setup.tolerance_auto else decide,
        depths=depths,
        current=plan.base.depth,
        tolerance=tolerance,
        confidence=config.confidence,
        floor=highest_chance(setup.bench, 1),
        scale=1.0 if metric.known_scale else tolerance / TARGET,
        floor_is=FLOORS.get(metric.spec, ""),
    )
    decision = ask(scores)
    units = Units(metric=metric.name, fraction=metric.fraction, tolerance=decision.tolerance)
    advised = decision.recommended if decision.verdict == "shrink" else None
    kept = plan.base.opened if advised is None else opened[depths.index(advised)]
    removed = list(plan.removed(kept))
    net, rank = kept_network(setup, folder, kept)
    costs = candidate_costs(setup.bench, config.seed, 0, opened)
    depth = depth_json(decision, costs, latency_facts(setup.bench), metric.bounds)
    for row, best in zip(depth["candidates"], pareto(depth["candidates"]), strict=True):
        row["pareto"] = best
    values = [estimate.value for estimate in decision.candidates]
    depth["accelerates_at"] = accelerates_at(depths, values, decision.tolerance)
    depth["speed_ms"] = compare_speed(costs[-1], costs[opened.index(kept)])
    depth["without"] = {str(plan.depths[plan.opened.index(count)]): list(plan.removed(count)) for count in opened}
    notes = [f"seed {f.seed}: {f.what}" for f in failures] + list(decision.reasons) + list(setup.notes)
    notes += [setup.lr_note, *say_coarser(decision, tolerance, units)]
    notes += _say_course(setup, depths, depth["accelerates_at"], trained_on)
    recommendation = Recommendation(
        command="shrink",
        verdict=decision.verdict,
        sentence=say(
            decision,
            metric=metric.name,
            seeds=len(seeds),
            failed_seeds=len({f.seed for f in failures}),
            notes=[f"without {_list(removed)}"] if removed else [],
            fraction=metric.fraction,
        ),
        metric=metric.name,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        resolution=decision.resolution,
        seeds=seeds,
        failed_seeds=sorted({f.seed for f in failures}),
        depth=depth,
        width={"units": []},
        add=[],
        remove=removed,
        control=within(decision.control, metric.bounds),
        verified=None,
        cost=cost_json(plan, config.seeds, records, seconds),
        gain={"over_current": as_json(decision.gain), "over_control": as_json(decision.gain_over_control)},
        test={**score_test(setup.bench, net, rank), "before": score_test(setup.bench, setup.model.build(), 0)["value"]},
        notes=notes,
        fraction=metric.fraction,
        ranking=[row.to_json() for row in setup.ranking],
    )
    _write(setup, folder, removed, net, recommendation)
    return Result(folder.path, recommendation, net)


def measured_by_all(records: Records, plan: Plan, seeds: Sequence[int]) -> list[int]:
    """Numbers of open gates, ascending, that every one of `seeds` measured: a walk may have been given up early."""
    done = {
        seed: {r["opened"] for r in records if (r["kind"], r.get("walk"), r["seed"]) == ("measurement", "down", seed)}
        for seed in seeds
    }
    return [count for count in plan.opened if all(count in mine for mine in done.values())]


def longest_trained(scores: list[SeedScores]) -> tuple[list[SeedScores], str]:
    """The scores with the network as it is at its best: measured before anything left, or, where that is better,
    trained on as long as the smallest (the control). A smaller network must not win by its longer training.
    """
    first = sum(float(one.candidates[-1].mean()) for one in scores)
    control = sum(float(one.control.mean()) for one in scores)
    if control <= first:
        return scores, "at the beginning of the walk"
    replaced = [replace(one, candidates=_with_last(one)) for one in scores]
    return replaced, "trained on as long as the whole walk (the control)"


def _with_last(one: SeedScores) -> Any:
    table = one.candidates.copy()
    table[-1] = one.control
    return table


def kept_network(setup: ShrinkSetup, folder: RunFolder, opened: int) -> tuple[nn.Module, int]:
    """The fine-tuned network with `opened` gates of the first seed that did not fail; the checkpoint's where nothing
    leaves.
    """
    if opened == setup.bench.plan.base.opened:
        return setup.model.build(), 0
    saved = torch.load(folder.path / f"{CANDIDATES}/{opened}.pt", map_location="cpu", weights_only=True)
    rank = int(saved["rank"])
    recipe = setup.bench.plan.recipe(opened, rank)
    net = recipe_network(setup.model.build(), recipe, setup.bench.split(rank).train.x[:2])
    net.load_state_dict(saved["state_dict"])
    return net, rank


def say_coarser(decision: Decision, planned: float, units: Units) -> list[str]:
    """That the data resolve no better than a coarser tolerance, where it was decided at one."""
    if decision.tolerance <= planned:
        return []
    return [
        f"decided at a tolerance of {units.size(decision.tolerance)}, not the planned {units.size(planned)}: "
        "as measured these data resolve no better; more validation data or seeds would"
    ]


def _say_course(setup: ShrinkSetup, depths: Sequence[int], knee: int | None, trained_on: str) -> list[str]:
    plan = setup.bench.plan
    notes = [f"the network as it is was measured {trained_on}"]
    if len(depths) < len(plan.depths):
        notes.append(f"the walk was given up below {depths[0]} layers: the loss was beyond recovery")
    if knee is not None:
        notes.append(f"below {knee} layers the loss grows fastest")
    if len(plan.order) > 1:
        notes.append("units left in the order of what the network loses without each one alone")
    return notes


def _list(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _write(
    setup: ShrinkSetup, folder: RunFolder, removed: Sequence[str], net: nn.Module, recommendation: Recommendation
) -> None:
    """The recommendation last: a run is finished when it is there."""
    recipe = compose(setup.model.recipe, removals(removed))
    text = recipe_to_json(recipe)
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
