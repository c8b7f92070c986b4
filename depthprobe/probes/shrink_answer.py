"""The answer of a shrink probe: what can go, by name, and the smaller network."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import nn

from depthprobe.analysis.budgets import accelerates_at, compare_speed
from depthprobe.analysis.decision import Decision
from depthprobe.analysis.sentence import say
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.units import Units
from depthprobe.analysis.verified import say_verified
from depthprobe.analysis.within import CHECKPOINT
from depthprobe.analysis.within import CONTROL as KEPT_CONTROL
from depthprobe.counting import number_of
from depthprobe.graph.costs import count_weight_layers
from depthprobe.probes.answer import Failure, Recommendation, as_json, read_failures, within
from depthprobe.probes.conclusion import (
    all_failed,
    join_sentence,
    price_depths,
    say_checkpoint,
    say_coarser,
    say_failed,
    say_resamples,
    say_unverified,
    score_test,
    units_of,
    write_answer,
)
from depthprobe.probes.cost import verify_macs
from depthprobe.probes.holds import AGAIN, AS_IT_IS, CONTROL
from depthprobe.probes.latencies import as_first_measured, candidate_nets, network_costs
from depthprobe.probes.notebook import CANDIDATES, WHOLE
from depthprobe.probes.result import Result
from depthprobe.probes.sensitivity import at_rate
from depthprobe.probes.setup import recipe_network
from depthprobe.probes.shrink_arms import LOOK
from depthprobe.probes.shrink_cost import shrink_cost
from depthprobe.probes.shrink_scores import PRESENT, better_kind, decide_on, read_measured
from depthprobe.probes.shrink_setup import Records, ShrinkSetup
from depthprobe.probes.shrink_whole import read_whole
from depthprobe.probes.trained import removals
from depthprobe.runs import RunFolder


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The decision on a probe's records. opened: open gates of the candidates, ascending; kept: of the advised network;
    removed: the units that it lacks; sentence: of a budget, where one was set; planned: the decision's tolerance was
    coarser than that; present: how the present network was measured at its best; better: what training on made of it
    is clearly ahead of the checkpoint; looks: what every depth was at its short look, on the walk of one seed.
    """

    decision: Decision
    seeds: list[int]
    failures: list[Failure]
    depth: dict[str, Any]
    kept: int
    removed: list[str]
    planned: float
    present: str
    better: bool
    looks: dict[int, float]
    sentence: str | None = None


def weigh_shrink(setup: ShrinkSetup, folder: RunFolder) -> Weighed:
    """Decide on the records of a completed probe. Raises TrainingError when every seed failed."""
    config, idle, plan = setup.config, setup.model.idle, setup.bench.plan
    records = at_rate(list(folder.records()), 1.0)
    failures, measured = read_failures(records), read_measured(setup, records)
    if not measured.scores:
        raise all_failed(setup.bench, folder, failures)
    decision, opened = decide_on(setup, measured), measured.opened
    nets = candidate_nets(setup.bench, config.seed, 0, opened)
    if idle:
        whole = setup.model.whole()
        inner, decision = decision, decision.having_dropped(count_weight_layers(whole))
        nets, opened = chain(nets, [whole]), [*opened, plan.base.opened]
    costs = as_first_measured(folder, config.limits, decision.depths, network_costs(setup.bench, nets))
    decision, depth, sentence = price_depths(
        setup.bench, decision, costs, config.limits,
        checkpoint=measured.checkpoint, control=bool(measured.control), alike=2 if idle else 1,
    )  # fmt: skip
    ways = {None: measured.present, KEPT_CONTROL: measured.control, CHECKPOINT: PRESENT[AS_IT_IS]}
    index = decision.depths.index(decision.recommended if decision.verdict == "shrink" else decision.current)
    removed = [*idle, *plan.removed(opened[index])] if decision.verdict == "shrink" else []
    looks = {plan.depth_of(count): value for count, value in sorted(measured.looks.items())}
    depth["knee"] = accelerates_at(list(looks), list(looks.values()), decision.tolerance)
    depth["speed_ms"] = compare_speed(costs[-1], costs[index])
    depth["idle"] = list(idle)
    kinds = {count: better_kind(plan, measured.tried, count) for count in measured.opened}
    depth["arms"] = {str(plan.depth_of(count)): kind for count, kind in kinds.items() if kind}  # whose networks count
    depth["without"] = {
        str(layers): [*idle, *plan.removed(count)]
        for layers, count in zip(decision.depths, opened, strict=True)
        if not (idle and layers == decision.current)
    }
    if idle and inner.verdict == "inconclusive" and not config.limits:
        sentence = (
            f"Shrink from {decision.current} to {decision.recommended} layers: without {_list(idle)} nothing changes; "
            f"beyond that inconclusive: {', '.join(inner.reasons)}."
        )
    return Weighed(
        decision=decision,
        seeds=measured.seeds,
        failures=failures,
        depth=depth,
        kept=opened[index],
        removed=removed,
        planned=config.tolerance or TARGET,
        present=ways[depth.get("present")],
        better=read_whole(setup, records).better,
        looks=looks,
        sentence=sentence,
    )


def conclude_shrink(
    setup: ShrinkSetup, folder: RunFolder, seconds: float, weighed: Weighed, verified: dict[str, Any] | None = None
) -> Result:
    """Write recipe, model and, last, the recommendation of a completed probe. verified: what came of `--verify`."""
    config, metric, decision = setup.config, setup.bench.metric, weighed.decision
    failed, removed = {failure.seed for failure in weighed.failures}, weighed.removed
    records, trained = list(folder.records()), sorted({*weighed.seeds, *failed})
    net, rank = kept_network(setup, folder, weighed)
    units = units_of(setup.bench, decision)
    notes = [f"seed {f.seed}: {f.what}" for f in weighed.failures] + list(decision.reasons) + list(setup.notes)
    notes += [setup.lr_note, *say_coarser(decision, weighed.planned, units)]
    notes += [] if config.limits else say_resamples(decision, lambda depth: number_of(depth, "layer"))
    noted = [record for record in at_rate(records, 1.0) if record["kind"] == "note"]
    notes += [*(str(record["what"]) for record in noted), *_say_course(setup, weighed, records, noted, units)]
    notes += say_unverified(config.verify, verified, records)
    ended = ([] if weighed.sentence and not config.limits else _say_removed(setup.model.idle, removed)) + (
        [say_verified(verified, units)] if verified else []
    )
    recommendation = Recommendation(
        command="shrink",
        verdict=decision.verdict,
        sentence=join_sentence(weighed.sentence, [*say_failed(len(failed), len(trained)), *ended])
        or say(
            decision,
            metric=metric.name,
            seeds=len(trained),
            failed_seeds=len(failed),
            notes=ended,
            fraction=metric.fraction,
        ),
        metric=metric.name,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        resolution=decision.resolution,
        seeds=trained,
        failed_seeds=sorted(failed),
        depth=weighed.depth,
        width={"units": []},
        add=[],
        remove=removed,
        control=within(decision.control, metric.bounds),
        verified=verified,
        cost=shrink_cost(setup.bench, records, seconds, verified=verify_macs(weighed.depth)),
        gain={"over_current": as_json(decision.gain), "over_control": as_json(decision.gain_over_control)},
        test={**score_test(setup.bench, net, rank), "before": score_test(setup.bench, setup.model.whole(), 0)["value"]},
        notes=notes,
        fraction=metric.fraction,
        ranking=[row.to_json() for row in setup.ranking],
    )
    return write_answer(folder, setup.about(removals(removed)), net, recommendation)


def kept_network(setup: ShrinkSetup, folder: RunFolder, weighed: Weighed) -> tuple[nn.Module, int]:
    """The network that was measured: of the advice, by the first seed that did not fail; where nothing leaves, the one
    that was trained on, where that was better than the checkpoint's own.
    """
    if weighed.kept == setup.bench.plan.base.opened:
        if not _trained_on_stays(setup, weighed):
            return (setup.model.build() if weighed.removed else setup.model.whole()), 0
        name = f"{CANDIDATES}/{weighed.kept}.pt" if weighed.present == PRESENT[AGAIN] else WHOLE
        net = setup.model.build()
        net.load_state_dict(folder.read_torch(name)["state_dict"])
        return net, 0
    saved = folder.read_torch(f"{CANDIDATES}/{weighed.kept}.pt")
    rank = int(saved["rank"])
    recipe = setup.bench.plan.recipe(weighed.kept, rank)
    net = recipe_network(setup.model.build(), recipe, setup.bench.split(rank).train.x[:2])
    net.load_state_dict(saved["state_dict"])
    return net, rank


def _trained_on_stays(setup: ShrinkSetup, weighed: Weighed) -> bool:
    """Whether the network that was trained on is handed back where nothing leaves: where it was better than the
    checkpoint's own (also where a short look at it was better still, whose network is not kept), unless it lacks idle
    units that the answer does not remove.
    """
    ahead = weighed.present in (PRESENT[CONTROL], PRESENT[AGAIN]) or (
        weighed.present == PRESENT[LOOK] and weighed.better
    )
    return ahead and not (setup.model.idle and not weighed.removed)


def _say_course(setup: ShrinkSetup, weighed: Weighed, records: Records, noted: Records, units: Units) -> list[str]:
    plan, least, knee = setup.bench.plan, min(weighed.looks), weighed.depth["knee"]
    notes = [f"the network as it is counts {weighed.present}{say_checkpoint(weighed.present, records, units)}"]
    if weighed.better:
        notes.insert(0, "the checkpoint was not trained to its end: what was made smaller is that network trained on")
    if weighed.kept == plan.base.opened and _trained_on_stays(setup, weighed):
        notes.append("model.pt is the whole network as it was trained on here, which is better than the checkpoint's")
    elif weighed.kept == plan.base.opened and weighed.present != PRESENT[AS_IT_IS]:
        notes.append("model.pt is the network of the checkpoint, not the one that was fine-tuned for that")
    if least > plan.depths[0] and not any(record["arm"] == "shrink" for record in noted):
        notes.append(f"the walk was given up below {number_of(least, 'layer')}: the loss was beyond recovery")
    if knee is not None:
        notes.append(f"in the walk the loss grows fastest below {number_of(knee, 'layer')}")
    if len(plan.order) > 1:
        last = any(row.unit in plan.order and row.influence is None for row in setup.ranking)
        shapes = ", those that change the shape last" if last else ""
        notes.append(f"units left in the order of what the network loses without each one alone{shapes}")
    return notes


def _say_removed(idle: Sequence[str], removed: Sequence[str]) -> list[str]:
    if not removed:
        return []
    nothing = f", of which {_list(idle)} changed nothing" if idle and len(idle) < len(removed) else ""
    return [f"without {_list(removed)}{nothing or (', which changed nothing' if idle else '')}"]


def _list(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
