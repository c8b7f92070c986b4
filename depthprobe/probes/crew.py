"""A crew: the arms of a probe side by side in local processes, written down in the order of one (`--workers`)."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from depthprobe.errors import ConfigError, ProcessError
from depthprobe.probes.answer import read_failures
from depthprobe.probes.arms import CHECKPOINT_SECONDS
from depthprobe.probes.bench import Arm
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.sensitivity import at_rate
from depthprobe.probes.tracking import check_trackers
from depthprobe.probes.worker import Order, arm_place
from depthprobe.runs import RunFolder
from depthprobe.training.compiling import check_compiler
from depthprobe.training.parts import parts_of
from depthprobe.training.team import Team, launched

TRIES = 2  # of an arm whose worker dies
PATIENCE = 10.0  # seconds that a worker has to end

Stops = Callable[[Arm, int, RunNotebook], bool]


def check_means(setup: Any, team: Team) -> None:
    """Raise ConfigError where the run cannot be trained as it was asked for, by the processes of `team`.

    setup: of a probe, or of one training; no folder exists yet.
    """
    config, bench = setup.to_json(), getattr(setup, "bench", setup)
    split, train, device = bench.split(0), bench.train, bench.accelerator.device
    parts_of(min(train.batch_size, len(split.train)), team, train.accumulate, device)
    check_trackers(config["train"]["log"])
    if config["train"]["compile"]:
        check_compiler(config["train"]["device"])
    if config["train"]["workers"] > 1:
        check_workers(config)


def check_workers(config: dict[str, Any]) -> None:
    """Raise ConfigError where arms cannot be trained by other processes. config: what config.json will say."""
    if "training" in config:
        raise ConfigError(
            "one training has no arms to train side by side", where="[train] workers",
            hint="leave it out; for several processes: torchrun -m depthprobe train ...",
        )  # fmt: skip
    if "shrink" in config:
        raise ConfigError(
            "the arms of shrink follow one another: what is trained next depends on what was measured",
            where="--workers", hint="leave it out",
        )  # fmt: skip
    if launched():
        raise ConfigError("--workers inside torchrun", where="--workers", hint="either of them")
    unnamed = [name for name in ("model", "data") if config[name].get("spec") == "<python>"]
    unnamed += [name for name, origin in config.get("own", {}).items() if origin == "<python>"]
    if unnamed:
        raise ConfigError(
            "workers load model, data and functions by name, these were passed as objects",
            where="--workers",
            found=", ".join(unnamed),
            hint='"file.py:name" for each of them, or workers=1',
        )


class Worker:
    """A local process that trains one arm at a time; index: of which, None while it has none."""

    def __init__(self, order: Order) -> None:
        mine, other = socket.socketpair()
        with other:
            words = [sys.executable, "-P", "-m", "depthprobe.probes.worker", str(other.fileno())]
            self.process = subprocess.Popen(words, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)
        self.connection = Connection(mine.detach())
        self.connection.send(order)
        self.ready = False
        self.index: int | None = None

    def begin(self, index: int) -> None:
        """Let it train arm number `index`."""
        self.index = index
        with contextlib.suppress(OSError):  # it died just now: its silence will say so
            self.connection.send(index)

    def dismiss(self) -> None:
        """End it."""
        self.connection.close()
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Crew:
    """The arms of a probe, from number `first` on, and who trains them.

    An arm keeps records, checkpoints and networks in a folder of its own; once all before it are written down, it is
    written into the run as one process would have done it, and the folder removed.
    """

    def __init__(self, folder: RunFolder, listener: Listener, arms: Sequence[Arm], first: int, begun: float) -> None:
        self.folder, self.listener, self.arms, self.begun = folder, listener, arms, begun
        self.written = first
        self.waiting = list(range(first, len(arms)))
        self.records: dict[int, list[dict[str, Any]] | None] = {}  # of arms that ended; None: not needed
        self.tries: dict[int, int] = {}
        self.stop: dict[str, Any] | None = None  # the record of a time budget that ended the run
        self.heard: set[int] = set()
        self.furthest = -1  # of the arms that were handed out
        self.saved = time.monotonic()

    def next_arm(self, stops: Stops | None) -> int | None:
        """The first waiting arm that can begin: a control waits for the walk of its seed."""
        for index in list(self.waiting):
            arm = self.arms[index]
            if arm.kind == "control":
                if any(self._beside(arm, self.arms[i]) for i in range(self.written, index) if i not in self.records):
                    continue
                if self._failed(arm):
                    self.waiting.remove(index)
                    self.records[index] = None
                    continue
            elif self._is_new(index) and stops is not None and self._must_stop(arm, stops):
                self.waiting = [before for before in self.waiting if before < index]  # controls of walks under way
                return None
            self.waiting.remove(index)
            self.furthest = max(self.furthest, index)
            return index
        return None

    def _is_new(self, index: int) -> bool:
        """Whether an arm is the first of its seed to begin, and nothing ended the run yet."""
        return self.stop is None and index > self.furthest and not arm_place(self.folder.path, index).exists()

    @staticmethod
    def _beside(one: Arm, other: Arm) -> bool:
        return (one.seed, one.rate) == (other.seed, other.rate)

    def _failed(self, arm: Arm) -> bool:
        ended = [record for records in self.records.values() for record in records or []]
        known = at_rate([*self.folder.records(), *ended], arm.rate)
        return any(failure.seed == arm.seed for failure in read_failures(known))

    def _must_stop(self, arm: Arm, stops: Stops) -> bool:
        notebook = _StopNotebook(self.folder, self.listener, self.begun)
        done = (self.written + len(self.records)) // 2
        if not stops(arm, done, notebook):
            return False
        self.stop = notebook.said
        return True

    def hear(self, message: tuple[Any, ...]) -> None:
        """Pass on to the listener what a worker tells; raise what it failed of."""
        word, index, *what = message
        if word == "failed":
            raise what[0]
        if word == "done":
            self._end(index)
        elif word == "begun":
            self.heard.add(index)
            self.listener.arm_begun(self.arms[index], *what)
        elif word == "progress":
            self.listener.progress(self.arms[index], *what)
        elif word == "recorded":
            self.listener.recorded(*what)
        if time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self._save(self.written)  # arms have checkpoints of their own; what the run took so far is known here

    def _end(self, index: int) -> None:
        with RunFolder.open(arm_place(self.folder.path, index)) as own:
            self.records[index] = list(own.records())

    def lose(self, index: int | None, code: int | None) -> None:
        """A worker died: its arm waits again, once. Raises ProcessError the second time."""
        died = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        if index is not None:
            self.tries[index] = self.tries.get(index, 0) + 1
            if self.tries[index] < TRIES:
                self.waiting.insert(0, index)
                return
        arm = f"seed {self.arms[index].seed} {self.arms[index].kind}" if index is not None else "before its first arm"
        raise ProcessError(
            "a worker died" + (" twice" if index is not None else ""), where=arm, found=died,
            hint=self.folder.resume_command,
        )  # fmt: skip

    def write_down(self) -> None:
        """Write the arms that ended into the run, as far as none before them is missing."""
        while self.written in self.records:
            index, records = self.written, self.records[self.written]
            arm = self.arms[index]
            if records is None:
                self.listener.arm_skipped(arm)
            else:
                self._write_arm(index, arm, records)
            self.written += 1
            self._save(self.written)
            shutil.rmtree(arm_place(self.folder.path, index), ignore_errors=True)
            del self.records[index]

    def _write_arm(self, index: int, arm: Arm, records: list[dict[str, Any]]) -> None:
        failed = {failure.seed for failure in read_failures(at_rate(list(self.folder.records()), arm.rate))}
        start = {"arm": index, "records": self.folder.size, "seconds": time.monotonic() - self.begun}
        for record in records:
            self.folder.append(record)
            if index not in self.heard:
                self.listener.recorded(record)
        wanted = arm.rate == 1.0 and not read_failures(records)
        if arm.rate == 1.0 and not wanted:
            self.folder.forget(arm.seed)
        if wanted and all(other.seed in failed for other in self.arms if other.rank < arm.rank):
            with RunFolder.open(arm_place(self.folder.path, index), write=True) as own:
                own.restore()
                for name in sorted(own.kept):
                    self.folder.keep(name, own.read_torch(name), arm.seed, start)

    def _save(self, arm: int) -> None:
        self.saved = time.monotonic()
        self.folder.save({"arm": arm, "learner": None, "seconds": self.saved - self.begun, "start": None})

    def finish(self) -> None:
        """The last words, where a time budget ended the run."""
        with contextlib.suppress(OSError):
            arm_place(self.folder.path, 0).parent.rmdir()
        if self.stop is not None:
            self.folder.append(self.stop)
            self.listener.recorded(self.stop)
            self._save(len(self.arms))


class _StopNotebook(RunNotebook):
    """Remembers why a run ends early, until all arms before are written down."""

    said: dict[str, Any] | None = None

    def record(self, record: dict[str, Any]) -> None:
        self.said = record

    def close_run(self, arms: int) -> None:
        return


def run_side_by_side(crew: Crew, order: Order, workers: int, stops: Stops | None) -> None:
    """Train the arms of `crew` in so many processes. Raises what a worker raised, ProcessError when one dies twice."""
    with _hired() as hired:
        while crew.waiting or any(worker.index is not None for worker in hired):
            idle = [worker for worker in hired if worker.ready and worker.index is None]
            index = crew.next_arm(stops) if idle or len(hired) < workers else None
            if index is not None and not idle:
                hired.append(Worker(order))
                idle = hired[-1:]
            if index is not None:
                idle[0].begin(index)
                continue
            crew.write_down()
            busy = {worker.connection: worker for worker in hired if worker.index is not None}
            for ready in wait(list(busy)) if busy else []:
                _listen(crew, hired, busy[ready])  # type: ignore[index]
        crew.write_down()
        crew.finish()


def _listen(crew: Crew, hired: list[Worker], worker: Worker) -> None:
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        hired.remove(worker)
        worker.dismiss()
        crew.lose(worker.index, worker.process.returncode)
        return
    worker.ready = True
    crew.hear(message)
    if message[0] == "done":
        worker.index = None


@contextmanager
def _hired() -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            worker.dismiss()
