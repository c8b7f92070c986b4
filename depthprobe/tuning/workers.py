"""Who runs the trials: this process, or several local ones, which are no different from those on other machines."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from optuna.storages import RDBStorage

from depthprobe.errors import DepthprobeError
from depthprobe.tuning.queue import POLL_SECONDS, Queue, await_lost, drain, mend
from depthprobe.tuning.setup import TuneSetup, study_setup
from depthprobe.tuning.storage import BEATS_MISSED, open_storage
from depthprobe.tuning.study import DONE, open_confirmation, open_search, read_study
from depthprobe.tuning.trial import Runner

SEARCH, CONFIRMATION = "trials", "confirm"  # folders of checkpoints


def work(
    setup: TuneSetup, storage: RDBStorage, place: Path, *, stops: Callable[[], bool] = lambda: False, patience: float
) -> int:
    """Run trials of the search and of the confirmation until the study is answered; returns how many.

    place: folder of checkpoints. patience: seconds without a trial to run, after which nobody is believed to go on with
    the study.
    """
    search = open_search(setup, storage)
    done, end = 0, time.monotonic() + patience
    while not stops() and time.monotonic() < end:
        ran = drain(search, Runner(setup, place / SEARCH), stops=stops)
        confirmation = open_confirmation(setup, storage)
        if confirmation is not None:
            ran += drain(confirmation, Runner(setup, place / CONFIRMATION), stops=stops)
        if DONE in search.user_attrs:
            return done + ran
        done, end = done + ran, time.monotonic() + patience if ran else end
        time.sleep(POLL_SECONDS)
    return done


@contextmanager
def local_workers(setup: TuneSetup, url: str, place: Path) -> Iterator[list[BaseProcess]]:
    """`workers` processes that run trials until none waits; none for one worker. They are told to stop at the end."""
    context, count = multiprocessing.get_context("spawn"), setup.config.workers
    arguments = (setup.study, url, setup.config.heartbeat, place, os.getpid())
    processes: list[BaseProcess] = [
        context.Process(target=_local, args=arguments, name=f"worker {rank + 1}", daemon=True)
        for rank in range(count if count > 1 else 0)
    ]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        for process in processes:
            process.join(timeout=20)
            process.kill()


def _local(study: str, url: str, heartbeat: int, place: Path, parent: int) -> None:
    """A local worker; it ends with its parent."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        storage = open_storage(url, heartbeat)
        setup = study_setup(read_study(study, storage, url))
        work(setup, storage, place, stops=lambda: os.getppid() != parent, patience=float("inf"))
    except KeyboardInterrupt:
        os._exit(130)
    except DepthprobeError:
        os._exit(3)  # the parent runs the trial again, meets the same error and says it


def see_through(queue: Queue, runner: Runner, processes: list[BaseProcess], after: Callable[[], None]) -> None:
    """Watch local workers until nothing waits and nothing runs; what they leave behind is run here. What a worker lost
    waits again; where one met an error, this process runs the trial, and meets and says it.
    """
    while any(process.is_alive() for process in processes) and queue.unfinished():
        await_lost(queue, POLL_SECONDS)
        mend(queue, errors=False)
        after()
        time.sleep(POLL_SECONDS)
    drain(queue, runner, after=after, mends=True)


def grace(heartbeat: int) -> float:
    """Seconds after which a worker that gives no sign of life is known to be dead."""
    return (BEATS_MISSED + 1) * heartbeat + 1.0
