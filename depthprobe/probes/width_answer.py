"""The answer of a width probe: the recommendation, and the narrower network."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from depthprobe.analysis.units import Units
from depthprobe.analysis.verified import say_verified
from depthprobe.analysis.width_sentence import reasons_of_width, say_width
from depthprobe.probes.answer import Recommendation, as_json, within
from depthprobe.probes.bench import Bench
from depthprobe.probes.conclusion import (
    say_checkpoint,
    say_coarser,
    say_resamples,
    say_unverified,
    score_test,
    units_of,
    write_answer,
)
from depthprobe.probes.holds import AGAIN, AS_IT_IS, CONTROL
from depthprobe.probes.notebook import CANDIDATES, WHOLE, WHOLE_AGAIN
from depthprobe.probes.profiles import skeleton
from depthprobe.probes.result import Result
from depthprobe.probes.teaching import prepared_macs
from depthprobe.probes.verify import ADVISED, CURRENT
from depthprobe.probes.width_arm import is_better
from depthprobe.probes.width_plan import WidthPlan
from depthprobe.probes.width_setup import WidthSetup, price_width
from depthprobe.probes.width_weigh import PRESENT, Weighed, falls_away_at, is_narrower
from depthprobe.runs import RunFolder

Records = Sequence[Mapping[str, Any]]


def conclude_width(
    setup: WidthSetup, folder: RunFolder, seconds: float, weighed: Weighed, verified: dict[str, Any] | None = None
) -> Result:
    """Write recipe, model and, last, the recommendation of a completed probe. verified: what came of `--verify`."""
    plan, config, metric, decision = setup.bench.plan, setup.config, setup.bench.metric, weighed.decision
    records, kept, width = list(folder.records()), weighed.kept, weighed.width
    units, net = units_of(setup.bench, decision), kept_network(setup, folder, weighed)
    recommendation = Recommendation(
        command="width",
        verdict="narrow" if decision.verdict == "shrink" else decision.verdict,
        sentence=say_width(
            decision,
            [row for row in width["units"] if row["recommended"] < row["current"]] if kept < plan.base.opened else [],
            units=units,
            seeds=len(weighed.seeds),
            failed_seeds=len(weighed.failed),
            uneven=plan.profile == "uneven",
            sentence=weighed.sentence,
            notes=[say_verified(verified, units)] if verified else [],
        ),
        metric=metric.name,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        resolution=decision.resolution,
        seeds=weighed.seeds,
        failed_seeds=weighed.failed,
        depth=depth_json(plan, weighed.rows[list(decision.depths).index(kept)], width["latency"]),
        width=width,
        add=[],
        remove=[],
        control=within(decision.control, metric.bounds),
        verified=verified,
        cost=cost_json(setup.bench, records, seconds, kept),
        gain={"over_current": as_json(decision.gain), "over_control": as_json(decision.gain_over_control)},
        test={**score_test(setup.bench, net, 0), "before": score_test(setup.bench, setup.model.build(), 0)["value"]},
        notes=[*_notes(setup, weighed, units, records), *say_unverified(config.verify, verified, records)],
        fraction=metric.fraction,
    )
    return write_answer(folder, setup.about(plan.recipe(kept)), net, recommendation)


def depth_json(plan: WidthPlan, row: Mapping[str, Any], latency: Mapping[str, Any]) -> dict[str, Any]:
    """The `depth` part: it stays. row: of the network that is saved."""
    facts = {name: row[name] for name in ("value", "low", "high", "params", "macs", "latency_ms")}
    stays = {"current": plan.layers, "recommended": plan.layers, "best_guess": plan.layers}
    empty: dict[str, Any] = {"range95": None, "resamples": {}, "fitted": None}
    return {**stays, **empty, "candidates": [{"depth": plan.layers, **facts}], "latency": dict(latency)}


def cost_json(bench: Bench[WidthPlan], records: Records, seconds: float, kept: int) -> dict[str, Any]:
    """The `cost` part, from what was really trained: every width that was measured at its own cost, and the other
    trainings whole. kept: percent of the advised network.
    """
    plan, done = bench.plan, [record for record in records if record["kind"] == "arm"]
    narrower = [r["opened"] for r in records if is_narrower(r, r.get("seed", 0))]
    macs = {candidate.opened: candidate.macs for candidate in plan.candidates}
    shares = {CONTROL: 1.0, CURRENT: 1.0, ADVISED: macs[kept] / max(1, plan.base.macs)}
    trained = sum(price_width(bench, percent) for percent in narrower)
    ended = sum(r["updates"] for r in done if r["arm"] == "width") - plan.length * len(narrower)
    trained += ended / plan.steps  # of widths that diverged: as if they were whole
    trained += sum(r["updates"] * shares[r["arm"]] for r in done if r["arm"] in shares) / plan.steps
    prepared = prepared_macs(bench) * (2 if is_better(records) else 1) / (plan.steps * max(1, plan.base.macs))
    return {
        "steps": sum(record["updates"] for record in done),
        "sample_passes": sum(record["samples"] for record in done),
        "wall_seconds": round(seconds, 1),
        "trainings": round(trained + prepared, 2),
    }


def kept_network(setup: WidthSetup, folder: RunFolder, weighed: Weighed) -> nn.Module:
    """The fine-tuned network of the first seed that did not fail; where nothing becomes narrower, the whole one as it
    counts.
    """
    plan, network, percent = setup.bench.plan, setup.model.build(), weighed.kept
    if percent == plan.base.opened:
        name = {CONTROL: WHOLE, AGAIN: WHOLE_AGAIN}.get(weighed.present)
    else:
        name = f"{CANDIDATES}/{percent}.pt"
        network = skeleton(network, plan.units, plan.widths[percent], setup.bench.split(0).train.x[:2])
    if name is not None:
        network.load_state_dict(folder.read_torch(name)["state_dict"])
    return network


def _notes(setup: WidthSetup, weighed: Weighed, units: Units, records: Records) -> list[str]:
    plan, decision = setup.bench.plan, weighed.decision
    percents, budget = decision.depths, bool(setup.config.limits)
    notes = [f"seed {f.seed}: {f.what}" for f in weighed.failures]
    notes += [str(record["what"]) for record in records if record["kind"] == "note"]
    notes += [*reasons_of_width(decision), *setup.notes, setup.lr_note]
    notes += say_coarser(decision, weighed.planned, units)
    notes += [] if budget else say_resamples(decision, lambda percent: f"{percent} % of the channels")
    if is_better(records):
        notes.append("the checkpoint was not trained to its end: what was narrowed is that network trained on")
    present = PRESENT[weighed.present]
    notes.append(f"the network as it is counts {present}{say_checkpoint(present, records, units)}")
    if weighed.kept == plan.base.opened and weighed.present != AS_IT_IS:
        notes.append("model.pt is the whole network as it was trained on here, which is better than the checkpoint's")
    notes += _say_missing(plan.opened, percents)
    if (knee := falls_away_at(decision)) is not None:
        notes.append(f"below {knee} % of the channels the loss grows fastest")
    if decision.recommended == plan.base.opened and len(percents) > 1 and not budget:
        slope = decision.control.value - decision.candidates[-2].value  # trained alike
        if slope > decision.tolerance:
            notes.append(
                f"the curve still rises at the edge, by {units.size(slope)} from {percents[-2]} %: "
                "wider than tested may pay"
            )
    notes.append(_say_profile(plan))
    return notes


def _say_missing(planned: Sequence[int], percents: Sequence[int]) -> list[str]:
    """Which widths do not count, since not every seed measured them."""
    below = [percent for percent in planned if percent < percents[0]]
    between = [f"{percent} %" for percent in planned if percent > percents[0] and percent not in percents]
    notes = [f"nothing below {percents[0]} % counts: the loss was beyond recovery, or it diverged"] if below else []
    return notes + ([f"{', '.join(between)} does not count: not every seed measured it"] if between else [])


def _say_profile(plan: WidthPlan) -> str:
    if plan.profile == "equal":
        return "widths were measured together, every unit at the same share of its channels"
    return (
        "units are unevenly wide, as their readers can do with: at each ratio together with at most the "
        "multiply-accumulates of that share of the channels everywhere"
    )
