"""The answer of a grow probe: the decision on its records, the advised network, recipe and recommendation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from depthprobe.analysis.decision import Decision
from depthprobe.analysis.places import value_places
from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.sentence import say
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.verified import say_verified
from depthprobe.counting import number_of
from depthprobe.probes.answer import (
    Failure,
    Recommendation,
    as_json,
    read_failures,
    read_scores,
    unpack_scores,
    within,
)
from depthprobe.probes.conclusion import (
    all_failed,
    highest_chance,
    join_sentence,
    price_depths,
    rule_for,
    say_coarser,
    say_failed,
    say_resamples,
    say_unverified,
    score_test,
    units_of,
    write_answer,
)
from depthprobe.probes.cost import cost_json, verify_macs
from depthprobe.probes.grow_setup import Setup
from depthprobe.probes.latencies import as_first_measured, candidate_nets, network_costs
from depthprobe.probes.notebook import CANDIDATES
from depthprobe.probes.places import places_json, read_places, say_places
from depthprobe.probes.plan import GrowPlan
from depthprobe.probes.result import Result
from depthprobe.probes.sensitivity import at_rate, better_rates, finished_seeds, repeat_decision, say_sensitivity
from depthprobe.probes.setup import about_model, recipe_network
from depthprobe.runs import RunFolder
from depthprobe.surgery import Duplicate, recipe_to_json

HARDLY = 0.1  # of what lies between guessing and a perfect score: less was hardly learned


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The decision on a probe's records, and what it rests on. unlimited: the rule's, before any budget; depth: that
    part of the recommendation; others: the answers at other rates, without a budget too; rank: of the first seed that
    did not fail; sentence: of a budget, where one decided.
    """

    decision: Decision
    unlimited: Decision
    scores: list[SeedScores]
    failures: list[Failure]
    seeds: list[int]
    others: list[dict[str, Any]]
    depth: dict[str, Any]
    rank: int
    sentence: str | None = None


def weigh(setup: Setup, folder: RunFolder) -> Weighed:
    """Decide on the records of a completed probe. Raises TrainingError when every seed failed."""
    plan, config = setup.bench.plan, setup.config
    everything = list(folder.records())
    records = at_rate(everything, 1.0)
    failures = read_failures(records)
    seeds = finished_seeds(records, setup.seeds, 1.0)
    scores = read_scores(records, plan.opened, seeds)
    if not scores:
        raise all_failed(setup.bench, folder, failures)
    ask = rule_for(
        setup.bench,
        config,
        automatic=setup.tolerance_auto,
        depths=plan.depths,
        current=plan.depths[0],
        splits=config.seeds,
    )
    decision = ask(scores)
    others: list[dict[str, Any]] = []
    if config.sensitivity:
        again = partial(decide, **{**ask.keywords, "tolerance": decision.tolerance})
        others = repeat_decision(everything, plan.opened, setup.seeds, setup.bench.train.lr, again)
    rank = setup.seeds.index(scores[0].seed)
    costs = network_costs(setup.bench, candidate_nets(setup.bench, config.seed, rank, plan.opened))
    costs = as_first_measured(folder, config.limits, plan.opened, costs)
    unlimited = decision
    decision, depth, sentence = price_depths(setup.bench, decision, costs, config.limits)
    return Weighed(
        decision=decision,
        unlimited=unlimited,
        scores=scores,
        failures=failures,
        seeds=seeds,
        others=others,
        depth=depth,
        rank=rank,
        sentence=sentence,
    )


def conclude(
    setup: Setup, folder: RunFolder, seconds: float, weighed: Weighed, verified: dict[str, Any] | None = None
) -> Result:
    """Write recipe, model and, last, the recommendation of a completed probe. verified: what came of `--verify`."""
    plan, config, metric = setup.bench.plan, setup.config, setup.bench.metric
    everything = list(folder.records())
    decision, others = weighed.decision, weighed.others
    units, failed = units_of(setup.bench, decision), sorted({failure.seed for failure in weighed.failures})
    opened = opened_of(plan, decision)
    net, rank = _saved_network(setup, folder, decision, opened)
    recipe = plan.recipe(opened, rank)
    ended = say_sensitivity(weighed.unlimited, others) if others else []
    places = _value_places(setup, at_rate(everything, 1.0), weighed.scores, decision)
    ended += say_places(places, units) if places else []
    ended += [say_verified(verified, units)] if verified else []
    recommendation = Recommendation(
        command="grow",
        verdict=decision.verdict,
        sentence=join_sentence(weighed.sentence, [*say_failed(len(failed), len(weighed.seeds)), *ended])
        or say(
            decision,
            metric=metric.name,
            seeds=len(weighed.seeds),
            failed_seeds=len(failed),
            notes=ended,
            fraction=metric.fraction,
        ),
        metric=metric.name,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        resolution=decision.resolution,
        seeds=weighed.seeds,
        failed_seeds=failed,
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
        test=score_test(setup.bench, net, rank),
        sensitivity=others,
        places=places,
        notes=[*_notes(setup, weighed, everything), *say_unverified(config.verify, verified, everything)],
        fraction=metric.fraction,
    )
    return write_answer(folder, _about(setup, recipe, rank), net, recommendation)


def _notes(setup: Setup, weighed: Weighed, records: Sequence[Mapping[str, Any]]) -> list[str]:
    plan, config, decision = setup.bench.plan, setup.config, weighed.decision
    units = units_of(setup.bench, decision)
    notes = [f"seed {f.seed}: {f.what}" for f in weighed.failures] + list(decision.reasons) + list(setup.notes)
    notes += [setup.lr_note] if setup.range_test or setup.bench.own.optimizer else []
    notes += say_coarser(decision, config.tolerance or TARGET, units)
    notes += [] if config.limits else say_resamples(decision, lambda depth: number_of(depth, "layer"))
    notes += better_rates(decision, weighed.others, setup.bench.train.lr, units)
    notes += [setup.budget_note] if setup.budget_note else []
    notes += _say_unlearned(setup, decision)
    notes += [record["what"] for record in records if record["kind"] in ("stop", "note")]
    if len(plan.edits) > 1:
        orders = {plan.closing_gates(rank) for rank in range(config.seeds)}
        notes.append(
            "the answer holds for the site orders tested: layers were added from the input on, and left "
            + ("last added first and first added first, in turn" if len(orders) > 1 else "in one order")
        )
    if decision.recommended == plan.depths[-1]:
        copies = 2 * max(edit.copies for edit in plan.edits)
        notes.append(f"the deepest candidate is the answer: more may pay, --copies {copies} looks further")
    return notes


def _say_unlearned(setup: Setup, decision: Decision) -> list[str]:
    """What to make of networks that hardly learned anything, at any depth."""
    floor = highest_chance(setup.bench, len(setup.seeds))
    best = max(row.value for row in (*decision.candidates, decision.control))
    if floor is None or best - floor >= HARDLY * (1.0 - floor):
        return []
    name = setup.bench.metric.name
    return [
        f"no depth learned much: {name} {best:.3f}, where guessing has {floor:.3f}; look at the learning rate, the "
        "steps and the loss before you believe this answer"
    ]


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


def _about(setup: Setup, recipe: list[Duplicate], rank: int) -> dict[str, Any]:
    return about_model(
        setup.model,
        setup.data_source,
        setup.data,
        split={"seed": setup.config.split_seed, "fold": rank % setup.folds, "folds": setup.folds},
        scaled=setup.bench.split(rank),
        train=setup.bench.train,
        recipe=recipe_to_json(recipe),
        device=str(setup.bench.accelerator.device),
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
