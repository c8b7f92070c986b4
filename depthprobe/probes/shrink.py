"""The shrink probe: which units of a trained network can go, and what does it cost?"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from depthprobe.inputs import Split
from depthprobe.probes.arms import run_stairs
from depthprobe.probes.bench import Arm, Bench, Notebook, Plan, undisturbed
from depthprobe.probes.holds import branch_and_cool, measure, measure_hold, measurement
from depthprobe.probes.listener import Listener
from depthprobe.probes.result import Result
from depthprobe.probes.runner import run_arms
from depthprobe.probes.shrink_answer import conclude_shrink, weigh_shrink
from depthprobe.probes.shrink_setup import WALK, ShrinkSetup, create_shrink, reopen_shrink, set_up_shrink
from depthprobe.probes.verify import ADVISED, CURRENT, verify
from depthprobe.runs import RunFolder
from depthprobe.schedules import Hold
from depthprobe.surgery import Edited
from depthprobe.training.learner import Learner

__all__ = ["ShrinkSetup", "create_shrink", "reopen_shrink", "run_shrink", "set_up_shrink"]


def run_shrink(setup: ShrinkSetup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    loss = setup.config.beyond * (1.0 if setup.bench.metric.known_scale else abs(setup.whole))
    walk = partial(run_shrink_arm, beyond=loss)
    seconds = run_arms(setup, folder, listener, walk, control=run_shrink_control)
    weighed, verified = weigh_shrink(setup, folder), None
    if setup.config.verify and weighed.removed:
        verified, seconds = verify(
            setup,
            folder,
            listener,
            {
                CURRENT: lambda seed: setup.model.fresh((), seed, idle=True),
                ADVISED: lambda seed: setup.model.fresh(setup.bench.plan.recipe(weighed.kept, 0), seed),
            },
            replace(setup.bench.train, lr=setup.scratch_rate),
            larger=False,
            tolerance=weighed.decision.tolerance,
            confidence=weighed.decision.confidence,
        )
    return conclude_shrink(setup, folder, seconds, weighed, verified)


def run_shrink_arm(
    bench: Bench[Plan], arm: Arm, notebook: Notebook, state: dict[str, Any] | None, *, beyond: float
) -> Learner:
    """Down the stairs while the network is fine-tuned, until it has lost more than `beyond` twice in a row."""
    schedule, at_hold = bench.plan.schedule(arm.rank), partial(measure_hold, bench, arm, notebook)
    return run_stairs(bench, arm, notebook, state, schedule, at_hold, partial(is_beyond, beyond=beyond))


def is_beyond(values: Sequence[float], beyond: float) -> bool:
    """Whether the last two measurements are both more than `beyond` below the best: no recovery is to be expected."""
    return len(values) > 2 and max(values[-2:]) < max(values) - beyond


def run_shrink_control(
    bench: Bench[Plan], arm: Arm, notebook: Notebook, state: dict[str, Any] | None = None
) -> Learner:
    """The whole network on the same stairs, from which nothing leaves: cooled and measured wherever the walk was, so
    that every smaller network is compared with one that was trained as long.
    """
    reached = {record["step"] for record in notebook.measurements(arm.seed, WALK)}
    schedule = bench.plan.schedule(arm.rank)
    holds = tuple(hold for hold in schedule.holds[1:] if hold.end in reached)  # at the first both are the same network
    still = replace(schedule, ramps=(), holds=holds, steps=max(reached))
    return run_stairs(bench, arm, notebook, state, still, partial(_measure_still, bench, arm, notebook))


def _measure_still(
    bench: Bench[Plan], arm: Arm, notebook: Notebook, learner: Learner, edited: Edited, split: Split, hold: Hold
) -> None:
    with undisturbed(bench.accelerator.device):
        branch = branch_and_cool(learner, edited, bench.plan.cool, arm.seed, bench.rates)
        scores = measure(branch, split, bench.metric)
    learner.samples += branch.samples
    learner.updates += branch.updates
    depth = bench.plan.base.depth
    notebook.record(
        measurement(arm, learner, scores, walk="control", opened=hold.opened, depth=depth, valid_id=split.valid_id)
    )
