"""The conclusion of a grow probe: decide on its records, write recipe, model and recommendation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from depthprobe.analysis.automatic import decide_automatically
from depthprobe.analysis.budgets import pareto
from depthprobe.analysis.decision import Decision
from depthprobe.analysis.places import value_places
from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.sentence import say
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.units import Units
from depthprobe.analysis.verified import say_verified
from depthprobe.analysis.within import decide_within
from depthprobe.counting import number_of
from depthprobe.errors import TrainingError
from depthprobe.graph.costs import count_bytes, count_macs, count_parameters, measure_latency_ms
from depthprobe.probes.answer import (
    Failure,
    Recommendation,
    as_json,
    depth_json,
    read_failures,
    read_scores,
    unpack_scores,
    within,
)
from depthprobe.probes.bench import Bench, Plan
from depthprobe.probes.cost import cost_json, verify_macs
from depthprobe.probes.grow_setup import Setup
from depthprobe.probes.latencies import as_first_measured
from depthprobe.probes.notebook import CANDIDATES
from depthprobe.probes.places import places_json, read_places, say_places
from depthprobe.probes.plan import GrowPlan, candidate_net, grown
from depthprobe.probes.result import Result
from depthprobe.probes.sensitivity import at_rate, better_rates, finished_seeds, repeat_decision, say_sensitivity
from depthprobe.probes.setup import about_model, recipe_network
from depthprobe.runs import RunFolder
from depthprobe.surgery import Duplicate, recipe_to_json
from depthprobe.training.learner import predict, smaller_rate


def chance(bench: Bench[Plan], rank: int) -> float | None:
    """What a network that learned nothing scores on a seed's validation examples, where the metric says that: accuracy
    (top5) of always naming the commonest class (five); R squared of the mean.
    """
    if bench.metric.spec == "r2":
        return 0.0
    if not bench.metric.fraction:
        return None
    labels = bench.split(rank).valid.y
    counts = labels.bincount()
    named = 1 if bench.metric.spec == "accuracy" else min(5, len(counts))
    return float(counts.topk(named).values.sum()) / len(labels)


FLOORS = {"top5": "always naming the five commonest classes", "accuracy": "always naming the commonest class"}
FLOORS["r2"] = "always giving the mean"


def highest_chance(bench: Bench[Plan], seeds: int) -> float | None:
    """`chance`, the highest over the seeds' examples."""
    floors = [chance(bench, rank) for rank in range(seeds)]
    return max((floor for floor in floors if floor is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The decision on a probe's records, and what it rests on. rows: the candidates with their costs, as plain values;
    others: the answers at other rates; rank: of the first seed that did not fail; sentence: of a budget, where one
    was set.
    """

    decision: Decision
    scores: list[SeedScores]
    failures: list[Failure]
    seeds: list[int]
    others: list[dict[str, Any]]
    depth: dict[str, Any]
    rank: int
    sentence: str | None = None


def weigh(setup: Setup, folder: RunFolder) -> Weighed:
    """Decide on the records of a completed probe. Raises TrainingError when every seed failed."""
    plan, config, metric = setup.bench.plan, setup.config, setup.bench.metric
    tolerance = config.tolerance or TARGET
    everything = list(folder.records())
    records = at_rate(everything, 1.0)
    failures = read_failures(records)
    seeds = finished_seeds(records, setup.seeds, 1.0)
    scores = read_scores(records, plan.opened, seeds)
    if not scores:
        raise all_failed(setup.bench, folder, failures)
    ask = partial(
        decide_automatically if setup.tolerance_auto else decide,
        depths=plan.depths,
        current=plan.depths[0],
        tolerance=tolerance,
        confidence=config.confidence,
        floor=highest_chance(setup.bench, config.seeds),
        scale=1.0 if metric.known_scale else tolerance / TARGET,
        floor_is=FLOORS.get(metric.spec, ""),
    )
    decision = ask(scores)
    others: list[dict[str, Any]] = []
    if config.sensitivity:
        again = partial(decide, **{**ask.keywords, "tolerance": decision.tolerance})
        others = repeat_decision(everything, plan.opened, setup.seeds, setup.bench.train.lr, again)
    rank = setup.seeds.index(scores[0].seed)
    costs = candidate_costs(setup.bench, config.seed, rank, plan.opened)
    costs = as_first_measured(folder, config.limits, plan.opened, costs)
    depth, sentence = depth_json(decision, costs, latency_facts(setup.bench), metric.bounds), None
    mark_pareto(depth["candidates"])
    if config.limits:
        decision, sentence = decide_within(
            decision, depth["candidates"], config.limits, units_of(setup.bench, decision)
        )
        depth = {**depth, "recommended": decision.recommended, "best_guess": decision.best_guess}
    return Weighed(
        decision=decision,
        scores=scores,
        failures=failures,
        seeds=seeds,
        others=others,
        depth=depth,
        rank=rank,
        sentence=sentence,
    )


def mark_pareto(rows: list[dict[str, Any]]) -> None:
    """Under "pareto": whether no other candidate beats it in the metric, parameters and multiply-accumulates together;
    measured latencies differ from run to run.
    """
    for row, best in zip(rows, pareto(rows, ("params", "macs")), strict=True):
        row["pareto"] = best


def units_of(bench: Bench[Plan], decision: Decision) -> Units:
    """How values of the metric are written."""
    metric = bench.metric
    return Units(metric=metric.name, fraction=metric.fraction, tolerance=decision.tolerance)


def conclude(
    setup: Setup, folder: RunFolder, seconds: float, weighed: Weighed, verified: dict[str, Any] | None = None
) -> Result:
    """Write recipe, model and, last, the recommendation of a completed probe. verified: what came of `--verify`."""
    plan, config, metric = setup.bench.plan, setup.config, setup.bench.metric
    everything = list(folder.records())
    decision, others, failures = weighed.decision, weighed.others, weighed.failures
    tolerance, records = config.tolerance or TARGET, at_rate(everything, 1.0)
    opened = opened_of(plan, decision)
    net, rank = _saved_network(setup, folder, decision, opened)
    recipe = plan.recipe(opened, rank)
    test = score_test(setup.bench, net, rank)
    notes = [f"seed {f.seed}: {f.what}" for f in failures] + list(decision.reasons) + list(setup.notes)
    notes += [setup.lr_note] if setup.range_test or setup.bench.own.optimizer else []
    units = units_of(setup.bench, decision)
    if decision.tolerance > tolerance:
        notes.append(
            f"decided at a tolerance of {units.size(decision.tolerance)}, not the planned {units.size(tolerance)}: "
            "as measured these data resolve no better; more validation data or seeds would"
        )
    notes += better_rates(decision, others, setup.bench.train.lr, units)
    notes += [*([setup.budget_note] if setup.budget_note else [])]
    notes += [record["what"] for record in everything if record["kind"] in ("stop", "note")]
    if len(plan.edits) > 1:
        orders = {plan.closing_gates(r) for r in range(config.seeds)}
        notes.append(
            "the answer holds for the site orders tested: layers were added from the input on, and left "
            + ("last added first and first added first, in turn" if len(orders) > 1 else "in one order")
        )
    if decision.recommended == plan.depths[-1]:
        copies = 2 * max(edit.copies for edit in plan.edits)
        notes.append(f"the deepest candidate is the answer: more may pay, --copies {copies} looks further")
    ended = say_sensitivity(decision, others) if others else []
    places = _value_places(setup, records, weighed.scores, decision)
    ended += say_places(places, units) if places else []
    ended += [say_verified(verified, units)] if verified else []
    notes += say_unverified(config.verify, verified, everything)
    recommendation = Recommendation(
        command="grow",
        verdict=decision.verdict,
        sentence=join_sentence(weighed.sentence, ended)
        or say(
            decision,
            metric=metric.name,
            seeds=len(weighed.seeds),
            failed_seeds=len({f.seed for f in failures}),
            notes=ended,
            fraction=metric.fraction,
        ),
        metric=metric.name,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        resolution=decision.resolution,
        seeds=weighed.seeds,
        failed_seeds=sorted({f.seed for f in failures}),
        depth=weighed.depth,
        width={"units": []},
        add=[{"after": edit.unit, "copies": edit.copies} for edit in recipe] if decision.verdict == "deepen" else [],
        remove=[],
        control=within(decision.control, metric.bounds),
        verified=verified,
        cost=cost_json(
            plan, config.seeds, everything, seconds, rates=config.rates, verified=verify_macs(weighed.depth)
        ),
        gain={"over_current": as_json(decision.gain), "over_control": as_json(decision.gain_over_control)},
        test=test,
        sensitivity=others,
        places=places,
        notes=notes,
        fraction=metric.fraction,
    )
    _write_answer(setup, folder, recipe, net, rank, recommendation)
    return Result(folder.path, recommendation, net)


def say_unverified(asked: bool, verified: dict[str, Any] | None, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why `--verify` says nothing, or which of its trainings failed."""
    failed = [f for f in read_failures(records) if f.arm.startswith("verify")]
    notes = [f"seed {f.seed}, from scratch ({f.arm.removeprefix('verify ')} network): {f.what}" for f in failed]
    if asked and verified is None:
        nothing = "there was nothing to verify: the advice is the network as it is, or no advice"
        notes.append("no pair of trainings from scratch ended: not verified" if failed else nothing)
    return notes


def join_sentence(sentence: str | None, notes: Sequence[str]) -> str | None:
    """A sentence of a budget with what a sentence ends with; None where there is none."""
    return None if sentence is None else "; ".join([sentence.removesuffix("."), *notes]) + "."


def _value_places(
    setup: Setup, records: Sequence[Mapping[str, Any]], scores: list[SeedScores], decision: Decision
) -> list[dict[str, Any]]:
    """What the copies of one stage or site are worth alone; nothing without `--by`."""
    places = setup.bench.plan.places
    read = read_places(records, places, scores, unpack_scores) if places else []
    if not read:
        return []
    values = value_places(
        read,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        scale=1.0 if setup.bench.metric.known_scale else decision.tolerance / TARGET,
    )
    return places_json(places, values)


def _write_answer(
    setup: Setup, folder: RunFolder, recipe: list[Duplicate], net: nn.Module, rank: int, recommendation: Recommendation
) -> None:
    """The recommendation last: a run is finished when it is there."""
    text = recipe_to_json(recipe)
    about = about_model(
        setup.model,
        setup.data_source,
        setup.data,
        split={"seed": setup.config.split_seed, "fold": rank % setup.folds, "folds": setup.folds},
        scaled=setup.bench.split(rank),
        train=setup.bench.train,
        recipe=text,
        device=str(setup.bench.accelerator.device),
    )
    folder.write_text("recipe.json", text)
    folder.write_torch("model.pt", {"state_dict": net.state_dict(), "depthprobe": about})
    folder.write_json("recommendation.json", recommendation.to_json())


def all_failed(bench: Bench[Plan], folder: RunFolder, failures: list[Failure]) -> TrainingError:
    """The error of a probe without an answer."""
    failed = len({failure.seed for failure in failures})
    return TrainingError(
        f"all {number_of(failed, 'seed')} failed" if failed > 1 else "the one seed failed",
        where=str(folder.path),
        found="; ".join(f"seed {f.seed}: {f.what}" for f in failures[:3]),
        hint=smaller_rate(bench.train, bench.own),
    )


def opened_of(plan: GrowPlan, decision: Decision) -> int:
    """Open gates of the advised network, or of the present one."""
    depth = decision.recommended if decision.recommended is not None else decision.current
    return plan.opened[plan.depths.index(depth)]


def _saved_network(setup: Setup, folder: RunFolder, decision: Decision, opened: int) -> tuple[nn.Module, int]:
    """The cooled network of the first seed that did not fail, at `opened` gates on its way down; for the base depth the
    control's where that is the better of the two on validation data.
    """
    control = opened == 0 and decision.control.value >= decision.candidates[0].value
    name = "control" if control else opened
    saved = folder.read_torch(f"{CANDIDATES}/{name}.pt")
    rank = int(saved["rank"])
    example = setup.bench.split(rank).train.x[:2]
    net = recipe_network(setup.bench.build(saved["seed"]), setup.bench.plan.recipe(opened, rank), example)
    net.load_state_dict(saved["state_dict"])
    return net, rank


def score_test(bench: Bench[Plan], net: nn.Module, rank: int) -> dict[str, Any]:
    """The one look at the test split: the saved network's metric."""
    test = bench.split(rank).test
    value = bench.metric.value(predict(net, test.x, torch.device("cpu")), test.y)
    return {"value": value, "examples": len(test)}


def candidate_costs(bench: Bench[Plan], seed: int, rank: int, opened_gates: Sequence[int]) -> list[dict[str, Any]]:
    """`network_costs` of candidates, as the seed number `rank` had them."""
    example = bench.split(0).train.x[:2]
    edited, closing = grown(bench.build(seed), bench.plan.edits, example, 0), bench.plan.closing_gates(rank)
    return [network_costs(bench, candidate_net(edited, closing[len(closing) - opened :])) for opened in opened_gates]


def network_costs(bench: Bench[Plan], net: nn.Module) -> dict[str, Any]:
    """Parameters, MACs, latency (one batch, this device) and memory of the weights of a network."""
    x, device = bench.split(0).train.x[: bench.train.batch_size], bench.accelerator.device
    params, macs = count_parameters(net), count_macs(net, x[:2])
    latency = round(measure_latency_ms(net.to(device), x.to(device)), 4)
    return {"params": params, "macs": macs, "latency_ms": latency, "weight_bytes": count_bytes(net)}


def latency_facts(bench: Bench[Plan]) -> dict[str, Any]:
    """What `latency_ms` was measured with."""
    batch = min(bench.train.batch_size, len(bench.split(0).train))
    return {"batch": batch, "device": str(bench.accelerator.device), "threads": torch.get_num_threads()}
