"""The width probe: how narrow may the units of a trained network be?"""

import time
from dataclasses import replace
from functools import partial
from typing import Any

from depthprobe.analysis.ahead import is_beyond
from depthprobe.probes.arms import GiveUp
from depthprobe.probes.holds import CONTROL
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import WHOLE
from depthprobe.probes.result import Result
from depthprobe.probes.runner import Walk, as_a_worker, run_arms
from depthprobe.probes.teaching import start_from
from depthprobe.probes.together import answer, decide
from depthprobe.probes.verify import ADVISED, CURRENT, verify
from depthprobe.probes.width_answer import conclude_width
from depthprobe.probes.width_arm import is_better, run_width_arm, run_width_control
from depthprobe.probes.width_setup import WidthSetup, create_width, reopen_width, set_up_width
from depthprobe.probes.width_weigh import Weighed, weigh_width
from depthprobe.runs import RunFolder

__all__ = ["WidthSetup", "create_width", "reopen_width", "run_width", "set_up_width", "take_up", "width_walk"]


def run_width(setup: WidthSetup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    with as_a_worker(setup.bench.train):
        run_arms(setup, folder, listener, width_walk(setup), control=run_width_control, until=1)
    setup = take_up(setup, folder)
    seconds = run_arms(setup, folder, listener, width_walk(setup), control=run_width_control)
    team, verified = setup.bench.team, None
    weighed = decide(team, lambda: weigh_width(setup, folder))
    if setup.config.verify and weighed.kept < setup.bench.plan.base.opened:
        verified, seconds = _verify(setup, folder, listener, weighed)
    return answer(team, folder, lambda: conclude_width(setup, folder, seconds, weighed, verified))


def take_up(setup: WidthSetup, folder: RunFolder) -> WidthSetup:
    """The setup of what follows the control: from the better of the whole network's two states, which teaches."""
    records = list(folder.records())
    if not decide(setup.bench.team, partial(is_better, records)):
        return setup
    begun = time.monotonic()
    start = next(record["value"] for record in records if record.get("walk") == CONTROL)
    bench = start_from(setup.bench, setup.model, folder.read_torch(WHOLE)["state_dict"])
    return replace(setup, bench=bench, start=start, setup_seconds=setup.setup_seconds + time.monotonic() - begun)


def width_walk(setup: WidthSetup) -> Walk:
    """What trains the walk of a seed."""
    return partial(run_width_arm, give_up=_give_up(setup))


def _give_up(setup: WidthSetup) -> GiveUp:
    """When a walk ends; under a budget never: a network that fits it may be far down."""
    if setup.config.limits:
        return lambda values: False
    least = setup.config.beyond * (1.0 if setup.bench.metric.known_scale else abs(setup.untrained.whole))
    beyond = max(least, 2 * (setup.config.tolerance or 0.0))
    return lambda values: is_beyond([setup.start, *values], beyond)


def _verify(
    setup: WidthSetup, folder: RunFolder, listener: Listener, weighed: Weighed
) -> tuple[dict[str, Any] | None, float]:
    recipe = setup.bench.plan.recipe(weighed.kept)
    return verify(
        setup,
        folder,
        listener,
        {CURRENT: lambda seed: setup.model.fresh((), seed), ADVISED: lambda seed: setup.model.fresh(recipe, seed)},
        replace(setup.bench.train, lr=setup.scratch_rate),
        larger=False,
        tolerance=weighed.decision.tolerance,
        confidence=weighed.decision.confidence,
        seeds=[seed for seed in weighed.seeds if seed not in weighed.failed],
        limits=setup.config.limits if weighed.sentence else {},
    )
