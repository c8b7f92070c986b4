"""The grow probe: would more depth pay, and where does it stop paying?"""

import time
from typing import Any

from depthprobe.errors import TrainingError
from depthprobe.probes.answer import Failure, find_collapse, read_failures
from depthprobe.probes.arms import run_control_arm, run_grow_arm
from depthprobe.probes.bench import Arm
from depthprobe.probes.budget import must_stop
from depthprobe.probes.conclusion import chance, conclude
from depthprobe.probes.grow_setup import Setup, create_run, reopen, set_up
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.result import Result
from depthprobe.probes.sensitivity import at_rate
from depthprobe.runs import RunFolder

__all__ = ["Setup", "create_run", "reopen", "run_grow", "set_up"]


def run_grow(setup: Setup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    payload = folder.restore()
    begun = time.monotonic() - payload["seconds"]
    arms = setup.arms
    listener.begun(setup, payload["arm"])
    for index in range(payload["arm"], len(arms)):
        arm = arms[index]
        state = payload["learner"] if index == payload["arm"] else None
        failures = read_failures(at_rate(list(folder.records()), arm.rate))
        if arm.kind == "control" and any(f.seed == arm.seed for f in failures):
            listener.arm_skipped(arm)
            continue
        failed = frozenset(f.seed - setup.config.seed for f in failures)
        notebook = RunNotebook(folder, listener, begun, index, failed, arm.rate)
        if arm.kind == "grow" and state is None and _stops(setup, arm, index // 2, notebook):
            break
        listener.arm_begun(arm, state["step"] if state else 0)
        _run_arm(setup, arm, notebook, state)
        notebook.close_arm()
    return conclude(setup, folder, setup.setup_seconds + time.monotonic() - begun)


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


def _run_arm(setup: Setup, arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None) -> None:
    bench = setup.bench
    run = run_grow_arm if arm.kind == "grow" else run_control_arm
    try:
        run(bench, arm, notebook, state)
        records = at_rate(list(notebook.folder.records()), arm.rate) if arm.kind == "grow" else []
        failure = find_collapse(records, arm.seed, chance(bench, arm.rank), bench.metric.name)
    except TrainingError as error:
        failure = Failure(arm.seed, arm.kind, f"diverged: {error.what}")
    if failure is not None:
        notebook.record({"kind": "failure", "arm": arm.kind, "seed": arm.seed, "what": failure.what})
    learner = notebook.learner
    bill = {"updates": learner.updates, "samples": learner.samples} if learner else {"updates": 0, "samples": 0}
    notebook.record({"kind": "arm", "arm": arm.kind, "seed": arm.seed, **bill})
