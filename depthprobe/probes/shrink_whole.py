"""The whole network of a shrink probe, trained on before anything leaves it: the rate of fine-tuning that it survives,
what longer training alone is worth, and whether that is the network to be made smaller.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from depthprobe.analysis.ahead import is_ahead
from depthprobe.errors import TrainingError
from depthprobe.probes.answer import unpack_scores
from depthprobe.probes.arms import run_control_arm, train_control
from depthprobe.probes.bench import Arm, Bench
from depthprobe.probes.conclusion import highest_chance
from depthprobe.probes.holds import AGAIN, AS_IT_IS, CONTROL, measure, measure_as_it_is, measurement
from depthprobe.probes.notebook import WHOLE, RunNotebook
from depthprobe.probes.sensitivity import at_rate
from depthprobe.probes.shrink_plan import ShrinkPlan
from depthprobe.probes.shrink_setup import Records, ShrinkSetup
from depthprobe.probes.teaching import start_from
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

SHARES = (1.0, 0.3, 0.1, 0.03)  # of the rate of fine-tuning, until the whole network survives it
LOST = 0.25  # of a conventional training below half of what the network is above chance: it will not come back


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What came of training the whole network on. arm: the next try (None: enough is known); share: of the rate of
    fine-tuning, the first that it survived, or the last that was tried; better: it is clearly ahead of the checkpoint
    then, and is what is made smaller and teaches.
    """

    arm: Arm | None
    share: float
    better: bool


def first_kind(share: float) -> str:
    """Kind of the arms that train the whole network on at a share of the rate of fine-tuning."""
    return CONTROL if share == 1.0 else f"{CONTROL}, rate x {share:g}"


def first_share(kind: str) -> float:
    """The other way round."""
    return next(share for share in SHARES if first_kind(share) == kind)


def read_whole(setup: ShrinkSetup, records: Records) -> Whole:
    """Of the arms that ended."""
    ended = {record["arm"] for record in at_rate(records, 1.0) if record["kind"] == "arm"}
    measured = [record for record in at_rate(records, 1.0) if record["kind"] == "measurement"]
    for share in SHARES:
        kind = first_kind(share)
        if kind not in ended:
            return Whole(arm=Arm(setup.seeds[0], 0, kind), share=share, better=False)
        before = next((record for record in measured if record["walk"] == AS_IT_IS), None)
        if before is None:  # the network as it is could not be measured: nothing else can
            return Whole(arm=None, share=share, better=False)
        after = next((r for r in measured if (r["arm"], r["walk"]) == (kind, CONTROL)), None)
        if after is not None and after["value"] >= before["value"] - setup.lost:
            return Whole(arm=None, share=share, better=is_ahead(unpack_scores(after), unpack_scores(before)))
    return Whole(arm=None, share=SHARES[-1], better=False)


def take_up(setup: ShrinkSetup, folder: RunFolder, whole: Whole) -> ShrinkSetup:
    """The setup of what follows: at the rate that the whole network survives, from the better of its two states, which
    teaches.
    """
    bench = replace(setup.bench, slowed=whole.share)
    if not whole.better:
        return replace(setup, bench=bench)
    begun = time.monotonic()
    bench = start_from(bench, setup.model, folder.read_torch(WHOLE)["state_dict"])
    return replace(setup, bench=bench, setup_seconds=setup.setup_seconds + time.monotonic() - begun)


def run_first_arm(
    bench: Bench[ShrinkPlan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, whole: float
) -> Learner:
    """The network as it is, measured; then trained on without a teacher, for as many updates as the smallest candidate
    sees, and measured and kept. Where it is lost on the way, or diverges, that is noted.

    whole: its metric before.
    """
    share, split, base = first_share(arm.kind), bench.split(arm.rank), bench.plan.base
    bench = replace(bench, teacher=None, slowed=share)
    if state is None and share == 1.0:
        notebook.record(measure_as_it_is(bench, arm))
    try:
        learner = train_control(bench, arm, notebook, state, check=watch_for_loss(bench, arm, notebook, whole))
        scores = measure(learner, split, bench.metric)
    except TrainingError as error:
        if notebook.learner is None:
            raise
        slower = next((other for other in SHARES if other < share), None)
        then = "" if slower is None else f"; {slower:g} of it is tried"
        what = f"fine-tuning the whole network at {share:g} of the rate: {error.what}{then}"
        notebook.record({"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what})
        return notebook.learner
    notebook.keep_whole(arm, WHOLE, learner.net)
    notebook.record(
        measurement(arm, learner, scores, walk=CONTROL, opened=base.opened, depth=base.depth, valid_id=split.valid_id)
    )
    return learner


def watch_for_loss(
    bench: Bench[ShrinkPlan], arm: Arm, notebook: RunNotebook, whole: float
) -> Callable[[int], None] | None:
    """What raises TrainingError when an arm's traces say that the network is lost; None where the metric has no chance
    level to compare with, and only the end can tell.
    """
    floor = highest_chance(bench, 1)
    if floor is None:
        return None
    half, window = (whole + floor) / 2, LOST * bench.plan.steps

    def check(step: int) -> None:
        mine = [r for r in notebook.folder.records() if (r["kind"], r["arm"]) == ("trace", arm.kind)]
        late = [r["value"] for r in mine if r["step"] > step - window]
        if step >= window and max(late) < half:
            raise TrainingError(f"the {bench.metric.name} fell from {whole:.3f} to {late[-1]:.3f} by update {step}")

    return check


def run_again_arm(
    bench: Bench[ShrinkPlan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, opened: int
) -> Learner:
    """The control of a network that was trained on before it was made smaller: trained on once more, without a teacher,
    for as many updates as the candidate with `opened` open gates sees. A divergence is noted, and the present network
    counts as it was measured before.
    """
    plan = bench.plan
    course = (plan.reached(opened), plan.seen(opened))
    try:
        return run_control_arm(replace(bench, teacher=None), arm, notebook, state, course, walk=AGAIN)
    except TrainingError as error:
        if notebook.learner is None:
            raise
        what = f"seed {arm.seed}, the control: {error.what}"
        notebook.record({"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what})
        return notebook.learner
