"""What a shrink probe measured, and the rule's decision on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from depthprobe.analysis.ahead import is_ahead
from depthprobe.analysis.automatic import BLUNTEST
from depthprobe.analysis.crossfit import cross_fit
from depthprobe.analysis.decision import Decision
from depthprobe.analysis.scores import FloatArray, SeedScores
from depthprobe.analysis.tolerance import TARGET, Assumptions, resolvable
from depthprobe.probes.answer import read_failures, unpack_scores
from depthprobe.probes.bench import Arm
from depthprobe.probes.conclusion import rule_for
from depthprobe.probes.holds import AGAIN, AS_IT_IS, CONTROL, UNTOUCHED
from depthprobe.probes.sensitivity import at_rate
from depthprobe.probes.shrink_arms import DOWN, LOOK, branch_kind
from depthprobe.probes.shrink_plan import ShrinkPlan
from depthprobe.probes.shrink_setup import Records, ShrinkSetup

# One-sided 80 %: with two or three candidates there is no curve that steadies the estimate, and at 95 % networks one to
# two layers too large would be advised (benchmarks/shrink_rule.py).
GUARD = 0.6
PRESENT = {
    AS_IT_IS: UNTOUCHED,
    LOOK: "fine-tuned up to the first hold",
    CONTROL: "trained on as long as a smaller one (the control)",
    AGAIN: "trained on twice, the second time as long as what would be advised without that (the control)",
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the finished arms measured. seeds: those that count; walker: the seed whose walk the others branch from
    (None: every walk failed, or none ended yet); looks: open gates -> metric, of the walk; whole: the present network
    at its best, cross-fitted; tried: kind of a long branch -> its scores with that seed, (N,); opened: open gates,
    ascending, of the candidates that every seed measured, the present network last; scores: of those, by seed;
    present: how the present network was measured at its best; control: how it was trained on last ("": it
    diverged); checkpoint: its metric before any training; tolerance: of the search, which nothing is decided at.
    """

    seeds: list[int]
    walker: int | None
    looks: dict[int, float]
    whole: float
    tried: dict[str, FloatArray]
    opened: list[int]
    scores: list[SeedScores]
    present: str
    control: str
    checkpoint: float | None
    tolerance: float


def finished_arms(records: Records, seeds: Sequence[int]) -> list[Arm]:
    """The arms that ended, in order; trainings from scratch (--verify) left out."""
    ended = [r for r in at_rate(records, 1.0) if r["kind"] == "arm"]
    return [Arm(r["seed"], seeds.index(r["seed"]), r["arm"]) for r in ended]


def read_measured(setup: ShrinkSetup, records: Records) -> Measured:
    """Of the arms that ended; nothing of one that is under way."""
    records, plan = at_rate(records, 1.0), setup.bench.plan
    failed = {failure.seed for failure in read_failures(records)}
    seeds = [seed for seed in setup.seeds if seed not in failed]
    done = {(arm.seed, arm.kind) for arm in finished_arms(records, setup.seeds)}
    mine = [r for r in records if r["kind"] == "measurement" and (r["seed"], r["arm"]) in done]
    walker = next((seed for seed in seeds if (seed, "shrink") in done), None)
    walked = [r for r in mine if r["seed"] == walker or r["arm"].startswith(CONTROL)]
    looks = {r["opened"]: float(r["value"]) for r in walked if r["walk"] == LOOK}
    if walker is None:
        return Measured(
            seeds=seeds,
            walker=None,
            looks={},
            whole=0.0,
            tried={},
            opened=[],
            scores=[],
            present="",
            control="",
            checkpoint=None,
            tolerance=0.0,
        )
    whole = {r["walk"]: r for r in walked if r["opened"] == plan.base.opened and r["walk"] in PRESENT}
    ways = {way: unpack_scores(record) for way, record in whole.items()}
    best, here = cross_fit(ways)
    tried = {r["arm"]: unpack_scores(r) for r in walked if r["walk"] == DOWN}
    chosen = {better_kind(plan, tried, opened) for opened in plan.opened}
    tables = {seed: {r["opened"]: r for r in mine if r["seed"] == seed and r["arm"] in chosen} for seed in seeds}
    opened = [count for count in plan.opened if all(count in table for table in tables.values())]
    trained_on = next((way for way in (AGAIN, CONTROL) if way in ways), None)
    scores = [
        SeedScores(
            seed=seed,
            candidates=np.stack([*(unpack_scores(table[count]) for count in opened), here]),
            control=ways[trained_on or best],
            examples=whole[best]["valid_id"],
        )
        for seed, table in tables.items()
    ]
    return Measured(
        seeds=seeds,
        walker=walker,
        looks=looks,
        whole=float(here.mean()),
        tried=tried,
        opened=[*opened, plan.base.opened],
        scores=scores,
        present=PRESENT[best],
        control=PRESENT[trained_on] if trained_on else "",
        checkpoint=float(whole[AS_IT_IS]["value"]) if AS_IT_IS in whole else None,
        tolerance=search_tolerance(setup, ways),
    )


def search_tolerance(setup: ShrinkSetup, ways: Mapping[str, FloatArray]) -> float:
    """The tolerance by which candidates are sought: the planned one, or, where that is automatic, what can be resolved
    of two networks that differ on as many examples as the checkpoint and what it became by training on.

    ways: name -> (N,) scores of the present network.
    """
    planned = setup.config.tolerance or TARGET
    if not (setup.tolerance_auto and setup.bench.metric.fraction and CONTROL in ways):
        return planned
    differ = float(np.var(ways[CONTROL] - ways[AS_IT_IS]))
    found = resolvable(len(ways[CONTROL]), len(setup.seeds), folds=False, assume=Assumptions(disagreement=differ))
    return max(planned, min(found, BLUNTEST))


def better_kind(plan: ShrinkPlan, tried: Mapping[str, FloatArray], opened: int) -> str | None:
    """From where a candidate is trained, by the first seed: from the walk's weights where they are ahead of new ones;
    from either where it is alone. None where neither was tried to its end.
    """
    walked, anew = (branch_kind(plan, opened, anew=anew) for anew in (False, True))
    if walked not in tried or anew not in tried:
        return next((kind for kind in (walked, anew) if kind in tried), None)
    return walked if is_ahead(tried[walked], tried[anew]) else anew


def decide_on(setup: ShrinkSetup, measured: Measured) -> Decision:
    """The rule's decision. The present network counts as it is at its best: a smaller one must not win by its longer
    training, nor because fine-tuning hurts.
    """
    plan = setup.bench.plan
    ask = rule_for(
        setup.bench,
        setup.config,
        automatic=setup.tolerance_auto,
        depths=[plan.depth_of(count) for count in measured.opened],
        current=plan.base.depth,
        splits=1,
        guard=GUARD,
    )
    return ask(measured.scores)
