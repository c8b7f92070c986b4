"""The decision of a width probe on its records: which ratio, and what recommendation.json says under `width`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from depthprobe.analysis.budgets import accelerates_at, compare_speed
from depthprobe.analysis.crossfit import cross_fit
from depthprobe.analysis.decision import Decision
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.width_sentence import say_narrowing
from depthprobe.analysis.within import CHECKPOINT, count_kept, decide_within
from depthprobe.analysis.within import CONTROL as KEPT_CONTROL
from depthprobe.probes.answer import Failure, read_failures, unpack_scores, within
from depthprobe.probes.conclusion import all_failed, mark_pareto, rule_for, units_of
from depthprobe.probes.holds import AGAIN, AS_IT_IS, CONTROL, UNTOUCHED
from depthprobe.probes.latencies import as_first_measured, latency_facts, network_costs
from depthprobe.probes.profiles import skeleton
from depthprobe.probes.width_plan import WidthPlan
from depthprobe.probes.width_setup import WidthSetup
from depthprobe.runs import RunFolder

Records = Sequence[Mapping[str, Any]]

# Two-sided: simulated probes are wrong by more than the tolerance in 3 to 4 % at it, and at 95 % a quarter of a step
# wider (benchmarks/width_rule.py).
GUARD = 0.8
PRESENT = {
    AS_IT_IS: UNTOUCHED,
    CONTROL: "trained on, for as many updates as a narrower one (the control)",
    AGAIN: "trained on twice (the control), as the narrower ones that were cut from it were",
}


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The decision on a probe's records. rows: the candidates, ascending, as plain values; width: that part of the
    recommendation; kept: percent of the channels of the advised network; sentence: of a budget, where one was set;
    planned: the decision's tolerance was coarser than that; present: how the present network was measured at its best,
    of PRESENT.
    """

    decision: Decision
    seeds: list[int]
    failures: list[Failure]
    rows: list[dict[str, Any]]
    width: dict[str, Any]
    kept: int
    planned: float
    present: str
    sentence: str | None = None

    @property
    def failed(self) -> list[int]:
        """Seeds whose walk failed."""
        return sorted({failure.seed for failure in self.failures})


def weigh_width(setup: WidthSetup, folder: RunFolder) -> Weighed:
    """Decide on the records of a completed probe. Raises TrainingError when every seed failed."""
    plan, config = setup.bench.plan, setup.config
    records = list(folder.records())
    failures = [failure for failure in read_failures(records) if failure.arm == "width"]
    failed = {failure.seed for failure in failures}
    alive = [seed for seed in setup.seeds if seed not in failed]
    if not alive:
        raise all_failed(setup.bench, folder, failures)
    percents = measured_by_all(records, plan, alive)
    scores, present = read_scores(records, percents, alive)
    ask = rule_for(
        setup.bench,
        config,
        automatic=setup.tolerance_auto,
        depths=percents,
        current=plan.base.opened,
        splits=1,
        guard=GUARD,
        apart=True,
    )
    decision, planned = ask(scores), config.tolerance or TARGET
    rows, sentence = as_first_measured(folder, config.limits, percents, candidate_rows(setup, decision)), None
    if config.limits:
        uneven = plan.profile == "uneven"
        last = last_of(records)
        before = next(float(r["value"]) for r in records if r.get("walk") == AS_IT_IS)
        rows, counts = count_kept(
            decision, rows, config.limits, setup.bench.metric.bounds,
            checkpoint=before, control=last != AS_IT_IS,
        )  # fmt: skip
        mark_pareto(rows)
        present = {None: present, KEPT_CONTROL: last, CHECKPOINT: AS_IT_IS}[counts]
        decision, sentence = decide_within(
            decision,
            rows,
            config.limits,
            units_of(setup.bench, decision),
            lambda verdict, before, after: say_narrowing(verdict, after, uneven),
        )
    kept = decision.recommended if decision.verdict == "shrink" and decision.recommended else plan.base.opened
    return Weighed(
        decision=decision,
        seeds=setup.seeds,
        failures=failures,
        rows=rows,
        width=width_json(setup, decision, rows, kept),
        kept=kept,
        planned=planned,
        present=present,
        sentence=sentence,
    )


def measured_by_all(records: Records, plan: WidthPlan, seeds: Sequence[int]) -> list[int]:
    """Percents, ascending, that every one of `seeds` measured, some may have given up early; the last one 100."""
    done = [{r["opened"] for r in records if is_narrower(r, seed)} for seed in seeds]
    narrower = [percent for percent in plan.opened[:-1] if all(percent in mine for mine in done)]
    return [*narrower, plan.base.opened]


def is_narrower(record: Mapping[str, Any], seed: int) -> bool:
    """Whether it is the measurement of a narrower network of that seed."""
    return (record["kind"], record.get("walk"), record["seed"]) == ("measurement", "down", seed)


def last_of(records: Records) -> str:
    """How the whole network was measured last (of PRESENT): the control."""
    measured = [str(record["walk"]) for record in records if record["kind"] == "measurement"]
    return max((walk for walk in measured if walk in PRESENT), key=list(PRESENT).index)


def read_scores(records: Records, percents: Sequence[int], seeds: Sequence[int]) -> tuple[list[SeedScores], str]:
    """(scores of the networks of `percents`, the last one whole, beside them the control; how the whole one counts, of
    PRESENT).

    It counts at its best, cross-fitted: as the checkpoint has it, or trained on as the narrower ones are. A narrower
    network must not win by its longer training, nor because fine-tuning hurts.
    """
    whole = {r["walk"]: unpack_scores(r) for r in records if r["kind"] == "measurement" and r["walk"] in PRESENT}
    best, here = cross_fit(whole)
    control = whole[last_of(records)]
    scores = []
    for seed in seeds:
        mine = {record["opened"]: record for record in records if is_narrower(record, seed)}
        table = np.stack([*(unpack_scores(mine[percent]) for percent in percents[:-1]), here])
        examples = next(iter(mine.values()))["valid_id"]
        scores.append(SeedScores(seed=seed, candidates=table, control=control, examples=examples))
    return scores, best


def candidate_rows(setup: WidthSetup, decision: Decision) -> list[dict[str, Any]]:
    """One row per measured ratio, ascending: value with interval, params, macs, measured latency; pareto: no other is
    as good with fewer of both (measured times differ from run to run, and decide nothing).
    """
    plan, x = setup.bench.plan, setup.bench.split(0).train.x[:2]
    nets = (skeleton(setup.model.build(), plan.units, plan.widths[percent], x) for percent in decision.depths)
    measured = zip(decision.depths, decision.candidates, network_costs(setup.bench, nets), strict=True)
    rows = [
        {"ratio": percent / 100, **within(estimate, setup.bench.metric.bounds), **costs}
        for percent, estimate, costs in measured
    ]
    mark_pareto(rows)
    return rows


def falls_away_at(decision: Decision) -> int | None:
    """Percent of the channels before the curve falls away, None where it does not by more than a tolerance per 10 %."""
    values = [estimate.value for estimate in decision.candidates]
    return accelerates_at(list(decision.depths), values, decision.tolerance / 10)


def width_json(setup: WidthSetup, decision: Decision, rows: list[dict[str, Any]], kept: int) -> dict[str, Any]:
    """The `width` part of a recommendation. rows: of `candidate_rows`; kept: percent of the network that is saved."""
    plan, percents = setup.bench.plan, list(decision.depths)
    knee = falls_away_at(decision)
    return {
        "current": 1.0,
        "recommended": None if decision.recommended is None else decision.recommended / 100,
        "best_guess": decision.best_guess / 100,
        "range95": [percent / 100 for percent in decision.range95] if decision.range95 else None,
        "resamples": {f"{percent / 100:g}": share for percent, share in (decision.resamples or {}).items()},
        "fitted": list(decision.fitted) if decision.fitted else None,
        "candidates": rows,
        "latency": latency_facts(setup.bench),
        "knee": None if knee is None else knee / 100,
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
