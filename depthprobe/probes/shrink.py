"""The shrink probe: which units of a trained network can go, and what does it cost?"""

from dataclasses import replace
from functools import partial
from typing import Any

from depthprobe.probes.bench import Arm, Bench
from depthprobe.probes.holds import AGAIN, CONTROL
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.result import Result
from depthprobe.probes.runner import run_arms
from depthprobe.probes.shrink_answer import conclude_shrink, weigh_shrink
from depthprobe.probes.shrink_arms import run_branch_arm, run_walk_arm
from depthprobe.probes.shrink_course import compared_with, next_arms
from depthprobe.probes.shrink_plan import ShrinkPlan
from depthprobe.probes.shrink_scores import finished_arms, read_measured
from depthprobe.probes.shrink_setup import ShrinkSetup, create_shrink, reopen_shrink, set_up_shrink
from depthprobe.probes.shrink_whole import read_whole, run_again_arm, run_first_arm, take_up
from depthprobe.probes.together import answer, decide, restore
from depthprobe.probes.verify import ADVISED, CURRENT, verify
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

__all__ = ["ShrinkSetup", "create_shrink", "reopen_shrink", "run_shrink", "set_up_shrink"]


def run_shrink(setup: ShrinkSetup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    setup, seconds = run_course(setup, folder, listener)
    team, verified = setup.bench.team, None
    weighed = decide(team, lambda: weigh_shrink(setup, folder))
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
            seeds=weighed.seeds,
            limits=setup.config.limits if weighed.sentence else {},
        )
    return answer(team, folder, lambda: conclude_shrink(setup, folder, seconds, weighed, verified))


def run_course(setup: ShrinkSetup, folder: RunFolder, listener: Listener) -> tuple[ShrinkSetup, float]:
    """Train one arm after another, each chosen by what the earlier ones measured; returns the setup with all of them
    and the seconds that the probe took so far.
    """
    team = setup.bench.team
    saved = restore(folder, team)  # cuts the records back to the checkpoint: what comes next depends on them
    seconds, taken = setup.setup_seconds + float(saved.get("seconds", 0.0)), False
    while True:
        records = list(folder.records())
        whole = decide(team, partial(read_whole, setup, records))
        if whole.arm is None and not taken:
            setup, taken = take_up(setup, folder, whole), True
        done, coming = finished_arms(records, setup.seeds), decide(team, partial(next_arms, setup, records))
        setup = replace(setup, ran=(*done, *coming))
        if not coming:
            return setup, seconds
        train = partial(run_arm, setup=setup)
        seconds = run_arms(setup, folder, listener, train, control=train)


def run_arm(
    bench: Bench[ShrinkPlan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, setup: ShrinkSetup
) -> Learner:
    """The whole network trained on, the walk, or the long branch of a candidate. Under a budget no loss ends the walk:
    a network that fits it may be far down.
    """
    if arm.kind == AGAIN:  # as long as the candidate that would be advised without it has seen
        measured = read_measured(setup, list(notebook.folder.records()))
        return run_again_arm(bench, arm, notebook, state, opened=compared_with(setup, measured))
    if arm.kind.startswith(CONTROL):
        return run_first_arm(bench, arm, notebook, state, whole=setup.whole)
    if arm.kind == "shrink":
        return run_walk_arm(bench, arm, notebook, state, beyond=None if setup.config.limits else setup.lost)
    return run_branch_arm(
        bench,
        arm,
        notebook,
        state,
        fresh=lambda opened, seed: setup.model.fresh(bench.plan.recipe(opened, 0), seed),
        scratch=replace(bench.train, lr=setup.scratch_rate),
    )
