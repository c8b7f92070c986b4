"""The shrink probe: which units of a trained network can go, and what does it cost?"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from depthprobe.errors import TrainingError
from depthprobe.probes.arms import run_stairs
from depthprobe.probes.bench import Arm, Bench, Plan
from depthprobe.probes.holds import measure_hold
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.result import Result
from depthprobe.probes.runner import Walk, run_arms
from depthprobe.probes.shrink_answer import conclude_shrink, weigh_shrink
from depthprobe.probes.shrink_setup import ShrinkSetup, create_shrink, reopen_shrink, set_up_shrink
from depthprobe.probes.together import answer, decide
from depthprobe.probes.verify import ADVISED, CURRENT, verify
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

__all__ = ["ShrinkSetup", "create_shrink", "reopen_shrink", "run_shrink", "set_up_shrink"]


def run_shrink(setup: ShrinkSetup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    seconds = run_arms(setup, folder, listener, shrink_walk(setup))
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


def shrink_walk(setup: ShrinkSetup) -> Walk:
    """What trains the walk of a seed."""
    return partial(run_shrink_arm, beyond=_beyond(setup))


def _beyond(setup: ShrinkSetup) -> float | None:
    """The loss that ends a walk; under a budget none does: a network that fits it may be far down."""
    if setup.config.limits:
        return None
    least = setup.config.beyond * (1.0 if setup.bench.metric.known_scale else abs(setup.whole))
    return max(least, 2 * (setup.config.tolerance or 0.0))


def run_shrink_arm(
    bench: Bench[Plan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, beyond: float | None
) -> Learner:
    """Down the stairs while the network is fine-tuned, until it has lost more than `beyond` (None: never) twice in a
    row, or diverges; what was measured before counts.
    """
    schedule, at_hold = bench.plan.schedule(arm.rank), partial(measure_hold, bench, arm, notebook)
    give_up = None if beyond is None else partial(is_beyond, beyond=beyond)
    try:
        return run_stairs(bench, arm, notebook, state, schedule, at_hold, give_up)
    except TrainingError as error:
        if len(notebook.measured(arm)) < 2 or notebook.learner is None:
            raise
        what = f"seed {arm.seed}: the walk ended after {len(notebook.measured(arm))} measurements: {error.what}"
        notebook.record({"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what})
        return notebook.learner


def is_beyond(values: Sequence[float], beyond: float) -> bool:
    """Whether the last two measurements are both more than `beyond` below the best: no recovery is to be expected."""
    return len(values) > 2 and max(values[-2:]) < max(values) - beyond
