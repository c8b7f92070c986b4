"""A worker: trains arms of a probe, one after another, for the process that started it (`--workers`).

python -m depthprobe.probes.worker FD, the file descriptor of a socket to that process.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from depthprobe.errors import DepthprobeError
from depthprobe.probes.listener import Listener

Message = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is told first. run: the run folder, which it only reads; config, records: to open it with."""

    run: Path
    config: dict[str, Any]
    records: list[dict[str, Any]]
    search: tuple[str, ...]


class Relay(Listener):
    """Passes on what an arm reports. Raises SystemExit when nobody listens any more: the arm can be resumed."""

    def __init__(self, connection: Connection, index: int) -> None:
        self.connection, self.index = connection, index

    def arm_begun(self, arm: Any, step: int) -> None:
        """Tell the step."""
        self.send("begun", step)

    def progress(self, arm: Any, step: int, loss: float, ratios: list[float]) -> None:
        """Tell step, loss and ratios."""
        self.send("progress", step, loss, ratios)

    def recorded(self, record: dict[str, Any]) -> None:
        """Tell the record."""
        self.send("recorded", record)

    def send(self, word: str, *what: Any) -> None:
        """One message about this arm."""
        try:
            self.connection.send((word, self.index, *what))
        except OSError as error:
            raise SystemExit(1) from error


def arm_place(run: Path, index: int) -> Path:
    """Where arm number `index` keeps records, checkpoints and networks until they are written into the run."""
    return run / "checkpoints" / "arms" / f"{index:04d}"


def main() -> None:
    """Train the arms that are asked for, until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the process that started this one decides
    connection = Connection(int(sys.argv[1]))
    end_with_the_other_side(connection)
    os.dup2(2, 1)  # what the user's code prints is no answer
    order: Order = connection.recv()
    sys.path[:] = order.search
    index = -1
    try:
        train = open_work(order)
        connection.send(("ready", index))
        while True:
            index = connection.recv()
            train(index, Relay(connection, index))
            connection.send(("done", index))
    except EOFError:
        return
    except DepthprobeError as error:
        connection.send(("failed", index, error))
    except Exception as error:  # noqa: BLE001  (a bug of ours: the other side says so)
        connection.send(("failed", index, DepthprobeError(f"a worker failed: {type(error).__name__}: {error}")))


def end_with_the_other_side(connection: Connection) -> None:
    """From now on this process ends when the one at the other end does, however that ended: it would hold the lock of
    its arm for as long as it trains, and nobody would hear of it. The arm can be resumed.
    """
    silence = select.poll()
    silence.register(connection.fileno(), 0)  # no events: what is always reported is that the other side is gone

    def watch(_: Connection) -> None:  # holds it: a connection that nobody holds is closed
        silence.poll()
        os._exit(1)

    threading.Thread(target=watch, args=(connection,), daemon=True).start()


def open_work(order: Order) -> Callable[[int, Relay], None]:
    """The probe of `order`, set up as for resuming; returns what trains its arm number `index`."""
    from depthprobe.probes.runner import run_one
    from depthprobe.probes.together import FollowerFolder

    verb = trade(order.config["command"])
    setup = verb.reopen(FollowerFolder(order.run, order.config, order.records))
    walk, arms = verb.walk_of(setup), setup.arms

    def train(index: int, relay: Relay) -> None:
        import time

        from depthprobe.probes.notebook import RunNotebook
        from depthprobe.runs import RunFolder

        place, arm = arm_place(order.run, index), arms[index]
        with RunFolder.open(place, write=True) if place.exists() else RunFolder.create(place, "arm", {}, {}) as folder:
            payload = folder.restore()
            if payload["arm"]:
                return
            state, begun = payload["learner"], time.monotonic() - float(payload["seconds"])
            start, before = payload.get("start") if state else None, frozenset(range(arm.rank))
            # Whether the seeds before it failed is not known yet: it keeps its networks as if they had.
            notebook = RunNotebook(folder, relay, begun, 0, before, arm.rate, start)
            relay.arm_begun(arm, state["step"] if state else 0)
            run_one(setup, arm, notebook, state, verb.control if arm.kind == "control" else walk, verb.find_failure)
            notebook.close_arm()

    return train


@dataclass(frozen=True, kw_only=True)
class Trade:
    """What the runs of one verb do. reopen: run folder -> setup; walk_of: setup -> what trains a walk; control: what
    trains a control; find_failure: looks at the records of a walk that ended.
    """

    reopen: Callable[..., Any]
    walk_of: Callable[[Any], Any]
    control: Callable[..., Any]
    find_failure: Callable[..., Any] | None = None


def trade(command: str) -> Trade:
    """Of the runs of `command`."""
    if command == "grow":
        from depthprobe.probes.arms import run_control_arm
        from depthprobe.probes.grow import collapse, reopen, run_grow_arm

        return Trade(reopen=reopen, walk_of=lambda setup: run_grow_arm, control=run_control_arm, find_failure=collapse)
    from depthprobe.probes.width import reopen_width, take_up, width_walk
    from depthprobe.probes.width_arm import run_width_control

    return Trade(
        reopen=lambda folder: take_up(reopen_width(folder), folder), walk_of=width_walk, control=run_width_control
    )


if __name__ == "__main__":
    main()
