"""Arms: one training inside a probe; its marks, its measurements, its checkpoints."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from depthprobe.inputs import Split
from depthprobe.probes.bench import Arm, Bench, Notebook, Plan, RatioDriver, begin_training
from depthprobe.probes.holds import measure, measure_hold, measurement
from depthprobe.probes.plan import grown
from depthprobe.schedules import Hold, Schedule
from depthprobe.surgery import Edited, apply, settle
from depthprobe.training.learner import Learner, predict
from depthprobe.training.metrics import ACCURACY, Metric

TRACES = 40
TRACE_EXAMPLES = 256
CHECKPOINT_SECONDS = 20.0


GiveUp = Callable[[Sequence[float]], bool]
AtHold = Callable[[Learner, Edited, Split, Hold], None]


def run_grow_arm(bench: Bench[Plan], arm: Arm, notebook: Notebook, state: dict[str, Any] | None = None) -> Learner:
    """Over the stairs of the plan, a branch cooled and measured at the end of every hold.

    state: of a checkpoint, to go on from. Raises TrainingError when the loss stops being finite.
    """
    return run_stairs(
        bench, arm, notebook, state, bench.plan.schedule(arm.rank), partial(measure_hold, bench, arm, notebook)
    )


def run_stairs(
    bench: Bench[Plan],
    arm: Arm,
    notebook: Notebook,
    state: dict[str, Any] | None,
    schedule: Schedule,
    at_hold: AtHold,
    give_up: GiveUp | None = None,
) -> Learner:
    """Train the gated network over a schedule; `at_hold` measures at the end of every hold, before a checkpoint.

    give_up: whether to end early, from what this arm measured so far.
    """
    split = bench.split(arm.rank)
    edited = grown(bench.build(arm.seed), bench.plan.edits, split.train.x[:2], arm.seed)
    learner = begin_arm(edited, bench, split, arm, notebook, state)
    driver = RatioDriver(edited, schedule)
    holds = {hold.end: hold for hold in schedule.holds}
    every = trace_distance(schedule.steps)
    saved = time.monotonic()
    while learner.step < schedule.steps and not (give_up is not None and give_up(notebook.measured(arm))):
        mark = next_mark(learner.step, every, [*holds, schedule.steps])
        loss = learner.run(mark, bench.rates.hold, driver, lambda s, v: notebook.progress(arm, s, v, driver.ratios()))
        driver(learner.step)
        trace_point(arm, notebook, learner, split, loss, driver.ratios(), bench.metric)
        if mark in holds:
            at_hold(learner, edited, split, holds[mark])
        if mark in holds or time.monotonic() - saved > CHECKPOINT_SECONDS:
            notebook.checkpoint(arm, learner.state())
            saved = time.monotonic()
    return learner


def run_control_arm(
    bench: Bench[Plan],
    arm: Arm,
    notebook: Notebook,
    state: dict[str, Any] | None = None,
    course: tuple[int, int] | None = None,
    walk: str = "control",
) -> Learner:
    """The base network, same data order, same number of updates, no growth; cooled at the end, measured and kept.

    course: updates before it cools, and in all (None: as the plan's last measured network); walk: of its measurement.
    """
    learner, split, base = train_control(bench, arm, notebook, state, course), bench.split(arm.rank), bench.plan.base
    scores = measure(learner, split, bench.metric)
    notebook.keep(arm, base.opened, settle(apply(learner.net, [], split.train.x[:2].to(bench.accelerator.device))))
    notebook.record(
        measurement(arm, learner, scores, walk=walk, opened=base.opened, depth=base.depth, valid_id=split.valid_id)
    )
    return learner


def train_control(
    bench: Bench[Plan],
    arm: Arm,
    notebook: Notebook,
    state: dict[str, Any] | None = None,
    course: tuple[int, int] | None = None,
    check: Callable[[int], None] | None = None,
) -> Learner:
    """The training of `run_control_arm`. check: called with the step after every trace."""
    split = bench.split(arm.rank)
    learner = begin_arm(bench.build(arm.seed), bench, split, arm, notebook, state)
    walk, end = course or (bench.plan.schedule(arm.rank).steps, bench.plan.updates)

    def shape(step: int) -> float:
        return bench.rates.hold(step) if step < walk else bench.rates.cool(step - walk, end - walk)

    train_on(bench, arm, notebook, learner, split, shape, [walk, end], every=trace_distance(walk), check=check)
    return learner


def begin_arm(
    net: nn.Module, bench: Bench[Plan], split: Split, arm: Arm, notebook: Notebook, state: dict[str, Any] | None
) -> Learner:
    """The training of an arm, at step 0 or where a checkpoint's `state` stands; the notebook watches it."""
    learner = begin_training(net, bench, split, arm)
    notebook.watch(learner)
    if state is not None:
        learner.load(state)
    return learner


def train_on(
    bench: Bench[Plan],
    arm: Arm,
    notebook: Notebook,
    learner: Learner,
    split: Split,
    factor: Callable[[int], float],
    marks: Sequence[int],
    *,
    every: int,
    check: Callable[[int], None] | None = None,
) -> None:
    """Train a network in which no gate moves up to the last of `marks`, with a trace at each of them and every `every`
    updates, and checkpoints between. factor: step -> factor on the learning rate; check: called with the step after
    every trace. Raises TrainingError when the loss stops being finite.
    """
    saved = time.monotonic()
    while learner.step < marks[-1]:
        mark = next_mark(learner.step, every, list(marks))
        loss = learner.run(mark, factor, None, lambda s, v: notebook.progress(arm, s, v, []))
        trace_point(arm, notebook, learner, split, loss, [], bench.metric)
        if check is not None:
            check(learner.step)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            notebook.checkpoint(arm, learner.state())
            saved = time.monotonic()


def next_mark(step: int, every: int, others: list[int]) -> int:
    """The next step at which something is recorded: a multiple of `every`, or the nearest of `others` ahead."""
    ahead = [mark for mark in others if mark > step]
    return min([(step // every + 1) * every, *ahead] if ahead else [(step // every + 1) * every])


def trace_distance(steps: int) -> int:
    """Updates between two trace points: about forty in an arm, never so close that they cost much."""
    return max(20, steps // TRACES)


def trace_point(
    arm: Arm,
    notebook: Notebook,
    learner: Learner,
    split: Split,
    loss: float,
    ratios: list[float],
    metric: Metric = ACCURACY,
) -> None:
    """Record loss, uncooled metric on the first 256 validation examples, and ratios, as they are at this step; nothing
    when the metric of so few examples is not finite: only measurements decide.
    """
    x, y = split.valid.x[:TRACE_EXAMPLES], split.valid.y[:TRACE_EXAMPLES]
    value = metric.value(predict(learner.net, x, learner.accelerator.device), y)
    if not math.isfinite(value):
        return
    notebook.record(
        {
            "kind": "trace",
            "arm": arm.kind,
            "seed": arm.seed,
            "step": learner.step,
            "loss": loss,
            "value": value,
            "ratios": [round(ratio, 4) for ratio in ratios],
        }
    )
