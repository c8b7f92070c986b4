"""Running the arms of a probe one after another, from where the run folder stands."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from depthprobe.config import TrainConfig
from depthprobe.errors import TrainingError
from depthprobe.probes.answer import Failure, read_failures
from depthprobe.probes.arms import run_control_arm
from depthprobe.probes.bench import Arm, Bench, Plan
from depthprobe.probes.crew import Crew, run_side_by_side
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.sensitivity import at_rate
from depthprobe.probes.together import decide, restore
from depthprobe.probes.worker import Order
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

Walk = Callable[[Bench[Plan], Arm, RunNotebook, dict[str, Any] | None], Learner]


class ProbeSetup(Protocol):
    """What the setups of all probes have. setup_seconds: what choosing took, before the folder."""

    @property
    def bench(self) -> Bench[Plan]:
        """What the arms share."""

    @property
    def arms(self) -> list[Arm]:
        """All trainings in the order in which they run: of each seed the walk, then its control."""

    @property
    def seeds(self) -> list[int]:
        """The seeds, by rank."""

    @property
    def setup_seconds(self) -> float:
        """Seconds before the first update."""


S = TypeVar("S", bound=ProbeSetup)


def run_arms(
    setup: S,
    folder: RunFolder,
    listener: Listener,
    walk: Walk,
    *,
    find_failure: Callable[[S, Arm, list[Mapping[str, Any]]], Failure | None] | None = None,
    stops: Callable[[S, Arm, int, RunNotebook], bool] | None = None,
    arms: Sequence[Arm] | None = None,
    control: Walk = run_control_arm,
    until: int | None = None,
) -> float:
    """Train what is left to train; returns the seconds that the probe took so far, interruptions left out.

    walk: trains an arm that is no control; control: one that is; find_failure: looks at the records of a walk that
    ended; stops: whether the run ends before an arm, so many seeds being finished; arms: more than those of the setup,
    which they begin with; until: only the first so many, in this process.
    """
    team = setup.bench.team
    payload = restore(folder, team)
    begun = time.monotonic() - float(payload["seconds"])
    extra, arms = arms is not None, setup.arms if arms is None else list(arms)
    listener.begun(setup, payload["arm"], arms)
    if setup.bench.train.workers > 1 and not extra and until is None:
        crew = Crew(folder, listener, arms, payload["arm"], begun)
        run_side_by_side(crew, order_of(folder), setup.bench.train.workers, stops and partial(stops, setup))
        return setup.setup_seconds + time.monotonic() - begun
    for index in range(payload["arm"], len(arms) if until is None else until):
        arm = arms[index]
        state = payload["learner"] if index == payload["arm"] else None
        failures = read_failures(at_rate(list(folder.records()), arm.rate))
        if arm.kind == "control" and any(f.seed == arm.seed for f in failures):
            listener.arm_skipped(arm)
            continue
        failed = frozenset(f.seed - setup.seeds[0] for f in failures)
        start = payload.get("start") if state else None
        notebook = RunNotebook(folder, listener, begun, index, failed, arm.rate, start)
        ask = None if stops is None or arm.kind == "control" or state else partial(stops, setup, arm, index // 2)
        if ask is not None and decide(team, partial(ask, notebook)):  # by the clock of one process
            break
        listener.arm_begun(arm, state["step"] if state else 0)
        run_one(setup, arm, notebook, state, control if arm.kind == "control" else walk, find_failure)
        notebook.close_arm()
    return setup.setup_seconds + time.monotonic() - begun


def threads_each(threads: int, workers: int) -> int:
    """Threads of one of so many workers."""
    return max(1, threads // workers)


@contextmanager
def as_a_worker(train: TrainConfig) -> Iterator[None]:
    """With as many threads as a worker has: what is trained before workers begin has the same bits with and without."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads_each(threads, train.workers))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def order_of(folder: RunFolder) -> Order:
    """What the workers of a run are told: the same run, with their share of the threads."""
    config = folder.config
    train = config["train"]
    alone = {**train, "workers": 1, "threads": threads_each(train["threads"], train["workers"])}
    return Order(
        run=folder.path.absolute(),
        config={**config, "train": alone},
        records=list(folder.records()),
        search=tuple(sys.path),
    )


def run_one(
    setup: S,
    arm: Arm,
    notebook: RunNotebook,
    state: dict[str, Any] | None,
    train: Walk,
    find_failure: Callable[[S, Arm, list[Mapping[str, Any]]], Failure | None] | None,
) -> None:
    """Train one arm to its end, and write down how it ended."""
    failure = None
    try:
        train(setup.bench, arm, notebook, state)
        if find_failure is not None:
            records = [] if arm.kind == "control" else at_rate(list(notebook.folder.records()), arm.rate)
            failure = find_failure(setup, arm, records)
    except TrainingError as error:
        failure = Failure(arm.seed, arm.kind, f"diverged: {error.what}")
    if failure is not None:
        notebook.record({"kind": "failure", "arm": arm.kind, "seed": arm.seed, "what": failure.what})
        if arm.rate == 1.0 and not arm.kind.startswith("verify"):
            notebook.folder.forget(arm.seed)
    learner = notebook.learner
    bill = {"updates": learner.updates, "samples": learner.samples} if learner else {"updates": 0, "samples": 0}
    notebook.record({"kind": "arm", "arm": arm.kind, "seed": arm.seed, **bill})
