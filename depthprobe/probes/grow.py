"""The grow probe: would more depth pay, and where does it stop paying?"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from depthprobe.inputs import ModelSource
from depthprobe.probes.answer import Failure, find_collapse
from depthprobe.probes.arms import run_grow_arm
from depthprobe.probes.bench import Arm
from depthprobe.probes.budget import must_stop
from depthprobe.probes.conclusion import chance
from depthprobe.probes.grow_answer import Weighed, conclude, opened_of, weigh
from depthprobe.probes.grow_setup import Setup, create_run, reopen, set_up
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.result import Result
from depthprobe.probes.runner import run_arms
from depthprobe.probes.setup import recipe_network
from depthprobe.probes.together import answer, decide
from depthprobe.probes.verify import ADVISED, CURRENT, verify
from depthprobe.runs import RunFolder

__all__ = ["Setup", "collapse", "create_run", "reopen", "run_grow", "run_grow_arm", "set_up"]


def run_grow(setup: Setup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    seconds = run_arms(setup, folder, listener, run_grow_arm, find_failure=collapse, stops=_stops)
    team, verified = setup.bench.team, None
    weighed = decide(team, lambda: weigh(setup, folder))
    if setup.config.verify and weighed.decision.recommended not in (None, weighed.decision.current):
        verified, seconds = _verify(setup, folder, listener, weighed)
    return answer(team, folder, lambda: conclude(setup, folder, seconds, weighed, verified))


def _verify(
    setup: Setup, folder: RunFolder, listener: Listener, weighed: Weighed
) -> tuple[dict[str, Any] | None, float]:
    plan, decision = setup.bench.plan, weighed.decision
    recipe = plan.recipe(opened_of(plan, decision), weighed.rank)
    example = setup.bench.split(0).train.x[:2]
    source = setup.model
    if isinstance(source, ModelSource):  # from scratch, whatever the probe began with
        source = replace(source, checkpoint=None)
    return verify(
        setup,
        folder,
        listener,
        {CURRENT: source.build, ADVISED: lambda s: recipe_network(source.build(s), recipe, example, s)},
        setup.bench.train,
        larger=True,
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        seeds=weighed.seeds,
        limits=setup.config.limits if weighed.sentence else {},
    )


def collapse(setup: Setup, arm: Arm, records: list[Mapping[str, Any]]) -> Failure | None:
    """The failure of an arm that lost what the base network had learned; None where there is none."""
    return find_collapse(records, arm.seed, chance(setup.bench, arm.rank), setup.bench.metric.name)


def _stops(setup: Setup, arm: Arm, done: int, notebook: RunNotebook) -> bool:
    """Whether the time budget ends the run before `arm`, `done` seeds (at each rate) being finished; written down."""
    budget, planned = setup.config.time_budget, len(setup.arms) // 2
    elapsed = setup.setup_seconds + time.monotonic() - notebook.begun
    if budget is None or not must_stop(elapsed, setup.setup_seconds, done, min(2, planned), budget):
        return False
    rates = f" ({len(setup.seeds)} at each of {setup.config.rates} rates)" if setup.config.sensitivity else ""
    what = f"slower than forecast: stopped after {done} of {planned} seeds{rates}, to keep the time budget"
    notebook.record(
        {"kind": "stop", "arm": arm.kind, "seed": arm.seed, "what": what, "elapsed_seconds": round(elapsed, 1)}
    )
    notebook.close_run(len(setup.arms))
    return True
