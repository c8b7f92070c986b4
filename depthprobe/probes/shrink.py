"""The shrink probe: which units of a trained network can go, and what does it cost?"""

from dataclasses import replace
from functools import partial
from typing import Any

from depthprobe.probes.bench import Arm, Bench
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.result import Result
from depthprobe.probes.runner import run_arms
from depthprobe.probes.shrink_answer import conclude_shrink, weigh_shrink
from depthprobe.probes.shrink_arms import is_beyond, run_branch_arm, run_walk_arm, run_whole_arm
from depthprobe.probes.shrink_course import REACH, compared_with, next_arms
from depthprobe.probes.shrink_plan import ShrinkPlan
from depthprobe.probes.shrink_scores import finished_arms, read_measured
from depthprobe.probes.shrink_setup import ShrinkSetup, create_shrink, reopen_shrink, set_up_shrink
from depthprobe.probes.together import answer, decide, restore
from depthprobe.probes.verify import ADVISED, CURRENT, verify
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

__all__ = ["ShrinkSetup", "create_shrink", "is_beyond", "reopen_shrink", "run_shrink", "set_up_shrink"]


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
            limits=setup.config.limits,
        )
    return answer(team, folder, lambda: conclude_shrink(setup, folder, seconds, weighed, verified))


def run_course(setup: ShrinkSetup, folder: RunFolder, listener: Listener) -> tuple[ShrinkSetup, float]:
    """Train one arm after another, each chosen by what the earlier ones measured; returns the setup with all of them
    and the seconds that the probe took so far.
    """
    team = setup.bench.team
    saved = restore(folder, team)  # cuts the records back to the checkpoint: what comes next depends on them
    seconds = float(saved.get("seconds", setup.setup_seconds))
    while True:
        records = list(folder.records())
        done, coming = finished_arms(records, setup.seeds), decide(team, partial(next_arms, setup, records))
        setup = replace(setup, ran=(*done, *coming))
        if not coming:
            return setup, seconds
        control, walk = (partial(train, setup=setup) for train in (run_control, run_arm))
        seconds = run_arms(setup, folder, listener, walk, control=control)


def run_arm(
    bench: Bench[ShrinkPlan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, setup: ShrinkSetup
) -> Learner:
    """The walk, or the long branch of a candidate."""
    if arm.kind == "shrink":
        return run_walk_arm(bench, arm, notebook, state, beyond=_beyond(setup))
    return run_branch_arm(
        bench,
        arm,
        notebook,
        state,
        fresh=lambda opened, seed: setup.model.fresh(bench.plan.recipe(opened, 0), seed),
        scratch=replace(bench.train, lr=setup.scratch_rate),
    )


def run_control(
    bench: Bench[ShrinkPlan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, setup: ShrinkSetup
) -> Learner:
    """The whole network, for as many updates as the candidate that would be advised without it has seen."""
    measured = read_measured(setup, list(notebook.folder.records()))
    return run_whole_arm(bench, arm, notebook, state, opened=compared_with(setup, measured))


def _beyond(setup: ShrinkSetup) -> float | None:
    """The loss that ends a walk; under a budget none does: a network that fits it may be far down."""
    if setup.config.limits:
        return None
    least = setup.config.beyond * (1.0 if setup.bench.metric.known_scale else abs(setup.whole))
    return max(least, REACH * (setup.config.tolerance or 0.0))
