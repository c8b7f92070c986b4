"""The width probe: how narrow may the units of a trained network be?"""

from functools import partial

from depthprobe.probes.listener import Listener
from depthprobe.probes.result import Result
from depthprobe.probes.runner import Walk, run_arms
from depthprobe.probes.shrink import is_beyond
from depthprobe.probes.together import answer
from depthprobe.probes.width_answer import conclude_width
from depthprobe.probes.width_arm import run_width_arm
from depthprobe.probes.width_setup import WidthSetup, create_width, reopen_width, set_up_width
from depthprobe.runs import RunFolder

__all__ = ["WidthSetup", "create_width", "reopen_width", "run_width", "set_up_width"]


def run_width(setup: WidthSetup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    seconds = run_arms(setup, folder, listener, width_walk(setup))
    return answer(setup.bench.team, folder, lambda: conclude_width(setup, folder, seconds))


def width_walk(setup: WidthSetup) -> Walk:
    """What trains the walk of a seed."""
    scale = 1.0 if setup.bench.metric.known_scale else abs(setup.untrained.whole)
    return partial(run_width_arm, give_up=partial(is_beyond, beyond=setup.config.beyond * scale))
