"""The shrink probe: which units of a trained network can go, and what does it cost?"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from depthprobe.probes.arms import run_grow_arm
from depthprobe.probes.bench import Arm, Bench, Notebook, Plan
from depthprobe.probes.listener import Listener
from depthprobe.probes.result import Result
from depthprobe.probes.runner import run_arms
from depthprobe.probes.shrink_answer import conclude_shrink
from depthprobe.probes.shrink_setup import ShrinkSetup, create_shrink, reopen_shrink, set_up_shrink
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

__all__ = ["ShrinkSetup", "create_shrink", "reopen_shrink", "run_shrink", "set_up_shrink"]


def run_shrink(setup: ShrinkSetup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    loss = setup.config.beyond * (1.0 if setup.bench.metric.known_scale else abs(setup.whole))
    seconds = run_arms(setup, folder, listener, partial(run_shrink_arm, beyond=loss))
    return conclude_shrink(setup, folder, seconds)


def run_shrink_arm(
    bench: Bench[Plan], arm: Arm, notebook: Notebook, state: dict[str, Any] | None, *, beyond: float
) -> Learner:
    """Down the stairs while the network is fine-tuned, until it has lost more than `beyond` twice in a row."""
    return run_grow_arm(bench, arm, notebook, state, give_up=partial(is_beyond, beyond=beyond))


def is_beyond(values: Sequence[float], beyond: float) -> bool:
    """Whether the last two measurements are both more than `beyond` below the best: no recovery is to be expected."""
    return len(values) > 2 and max(values[-2:]) < max(values) - beyond
