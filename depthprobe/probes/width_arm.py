"""The arms of a width probe: the whole network trained on, and, for every seed, all the narrower ones in turn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from depthprobe.analysis.ahead import is_ahead
from depthprobe.errors import TrainingError
from depthprobe.inputs import Split
from depthprobe.probes.alone import calibration
from depthprobe.probes.answer import unpack_scores
from depthprobe.probes.arms import GiveUp, begin_arm, trace_distance, train_on
from depthprobe.probes.bench import Arm, Bench, Plan, begin_training
from depthprobe.probes.holds import AGAIN, AS_IT_IS, CONTROL, measure, measure_as_it_is, measurement
from depthprobe.probes.notebook import WHOLE, WHOLE_AGAIN, RunNotebook
from depthprobe.probes.together import decide
from depthprobe.probes.width_plan import WidthPlan
from depthprobe.schedules import Hold
from depthprobe.surgery.narrowing import cut_to
from depthprobe.training.learner import Learner


def run_width_arm(
    bench: Bench[WidthPlan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, give_up: GiveUp
) -> Learner:
    """From wide to narrow; every network is cut at once from the whole one, fine-tuned at a rate that falls to 0, and
    measured. Where one diverges, that is noted, and the others count.

    state: of a checkpoint, to go on from; give_up: whether to end early, from what was measured so far. Raises
    TrainingError when all of them diverge.
    """
    split, plan = bench.split(arm.rank), bench.plan
    whole = bench.build(arm.seed).to(bench.accelerator.device)
    holds, done = plan.schedule(arm.rank).holds, {r["opened"] for r in notebook.measurements(arm.seed, arm.kind)}
    begun = begun_holds(holds, 0 if state is None else int(state["step"]))
    learner = begin_narrower(bench, arm, split, whole, begun[-1])
    if state is not None:
        learner.load(state)
    notebook.watch(learner)
    for hold in holds:
        if hold.opened in done or hold in begun[:-1]:  # measured, or diverged
            continue
        if give_up(notebook.measured(arm)):
            break
        if learner.step == hold.start > 0:  # the one before has ended
            learner = begin_narrower(bench, arm, split, whole, hold, learner)
            notebook.watch(learner)
        try:
            fine_tune(bench, arm, notebook, learner, split, hold.start, hold.length)
            scores = measure(learner, split, bench.metric)
        except TrainingError as error:
            if hold == holds[-1] and not notebook.measured(arm):
                raise
            what = f"seed {arm.seed}, {hold.opened} % of the channels: {error.what}"
            notebook.record({"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what})
            learner.step = hold.end
            continue
        notebook.keep(arm, hold.opened, learner.net)
        percent = hold.opened
        notebook.record(
            measurement(arm, learner, scores, walk=hold.walk, opened=percent, depth=percent, valid_id=split.valid_id)
        )
        notebook.checkpoint(arm, learner.state())
    return learner


def begun_holds(holds: Sequence[Hold], step: int) -> list[Hold]:
    """Those that an arm at `step` has begun, the last of them under way."""
    return [hold for hold in holds if hold.start < step] or list(holds[:1])


def run_width_control(
    bench: Bench[Plan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None = None
) -> Learner:
    """The whole network, measured as the checkpoint has it, then trained on without a teacher for as many updates as
    the narrower ones, and measured and kept. Where that is clearly ahead, narrower ones are cut from it: it is trained
    on once more. A divergence is noted, and what was measured before counts.
    """
    bench, split, base = replace(bench, teacher=None), bench.split(arm.rank), bench.plan.base
    if state is None:
        notebook.record(measure_as_it_is(bench, arm))
    learner = begin_arm(bench.build(arm.seed), bench, split, arm, notebook, state)
    length = bench.plan.updates
    try:
        for rank, walk in enumerate((CONTROL, AGAIN)):
            if any(record["walk"] == walk for record in notebook.measurements(arm.seed, arm.kind)):
                continue
            fine_tune(bench, arm, notebook, learner, split, rank * length, length)
            scores = measure(learner, split, bench.metric)
            record = measurement(
                arm, learner, scores, walk=walk, opened=base.opened, depth=base.depth, valid_id=split.valid_id
            )
            notebook.keep_whole(arm, WHOLE if walk == CONTROL else WHOLE_AGAIN, learner.net)
            notebook.record(record)
            if not decide(bench.team, partial(is_better, notebook.measurements(arm.seed, arm.kind))):
                break
    except TrainingError as error:
        half = "; it has half the updates of the narrower ones" if learner.step > length else ""
        what = f"seed {arm.seed}, the whole network trained on (the control): {error.what}{half}"
        notebook.record({"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what})
    return learner


def is_better(records: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the whole network, trained on, is clearly ahead of the checkpoint: narrower ones are cut from it."""
    found = {r["walk"]: unpack_scores(r) for r in records if r["kind"] == "measurement" and r["arm"] == CONTROL}
    return CONTROL in found and is_ahead(found[CONTROL], found[AS_IT_IS])


def begin_narrower(
    bench: Bench[WidthPlan], arm: Arm, split: Split, whole: nn.Module, hold: Hold, before: Learner | None = None
) -> Learner:
    """The training of a narrower network at its first update; `before`, which it follows, is on its bill."""
    widths, inputs = bench.plan.widths[hold.opened], calibration(split, bench.accelerator.device)
    learner = begin_training(cut_to(whole, bench.plan.units, widths, inputs).network, bench, split, arm)
    learner.step = hold.start
    if before is not None:
        learner.samples, learner.updates = before.samples, before.updates
    return learner


def fine_tune(
    bench: Bench[Plan], arm: Arm, notebook: RunNotebook, learner: Learner, split: Split, begin: int, length: int
) -> None:
    """Train up to step `begin + length`, the rate falling from its whole to 0 since `begin`."""
    every = trace_distance(length)
    train_on(
        bench, arm, notebook, learner, split,
        lambda step: bench.rates.cool(step - begin, length), [begin + length], every=every,
    )  # fmt: skip
