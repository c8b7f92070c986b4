"""The notebook of an arm: where its records, measured networks and checkpoints go."""

import time
from typing import Any

from torch import nn

from depthprobe.probes.bench import Arm
from depthprobe.probes.listener import Listener
from depthprobe.runs import RunFolder
from depthprobe.training.learner import Learner

CANDIDATES = "checkpoints/candidates"
WHOLE, WHOLE_AGAIN = f"{CANDIDATES}/whole.pt", f"{CANDIDATES}/again.pt"  # of a trained network, trained on; twice


class RunNotebook:
    """Writes into the run folder and tells the listener.

    index: the arm's place in the order of the run; begun: `time.monotonic()` at which the run would have begun without
    interruptions; failed: ranks of the seeds that failed before (the first that did not keeps its networks); rate: the
    arm's factor on the learning rate, which its records carry unless it is 1; start: arm, records and seconds where the
    arm began, of a checkpoint inside it (None: it begins now).
    """

    def __init__(
        self,
        folder: RunFolder,
        listener: Listener,
        begun: float,
        index: int = 0,
        failed: frozenset[int] = frozenset(),
        rate: float = 1.0,
        start: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.listener, self.begun = folder, listener, begun
        self.index, self.failed, self.rate = index, failed, rate
        self.start = start or {"arm": index, "records": folder.size, "seconds": time.monotonic() - begun}
        self.learner: Learner | None = None

    def watch(self, learner: Learner) -> None:
        """Remember the arm's training."""
        self.learner = learner

    def record(self, record: dict[str, Any]) -> None:
        """Append one record."""
        if self.rate != 1.0:
            record = {**record, "rate": self.rate}
        self.folder.append(record)
        self.listener.recorded(record)

    def measured(self, arm: Arm) -> list[float]:
        """What the arm measured so far, in order."""
        return [record["value"] for record in self.measurements(arm.seed, arm.kind)]

    def measurements(self, seed: int, kind: str) -> list[dict[str, Any]]:
        """Measurement records of an arm, in order."""
        mine = [record for record in self.folder.records() if record["kind"] == "measurement"]
        return [record for record in mine if (record["seed"], record["arm"]) == (seed, kind)]

    def keep(self, arm: Arm, opened: int, net: nn.Module) -> None:
        """Save the measured network of a candidate, or of the control, if this is the first seed that did not fail.

        Networks of another rate than the main one are not kept.
        """
        if self.rate == 1.0 and all(rank in self.failed for rank in range(arm.rank)):
            payload = {"rank": arm.rank, "seed": arm.seed, "state_dict": net.state_dict()}
            name = arm.kind if arm.kind == "control" else opened
            self.folder.keep(f"{CANDIDATES}/{name}.pt", payload, arm.seed, self.start)

    def keep_whole(self, arm: Arm, name: str, net: nn.Module) -> None:
        """Save the whole network as it was trained on (WHOLE, WHOLE_AGAIN), protected as candidates are."""
        self.folder.keep(name, {"state_dict": net.state_dict()}, arm.seed, self.start)

    def progress(self, arm: Arm, step: int, loss: float, ratios: list[float]) -> None:
        """Pass on to the listener."""
        self.listener.progress(arm, step, loss, ratios)

    def checkpoint(self, arm: Arm, state: dict[str, Any]) -> None:
        """Make the arm resumable from `state`."""
        self._save(self.index, state)

    def close_arm(self) -> None:
        """Checkpoint between two arms."""
        self._save(self.index + 1, None)

    def close_run(self, arms: int) -> None:
        """Checkpoint after the last arm that will run, of `arms` planned."""
        self._save(arms, None)

    def _save(self, index: int, state: dict[str, Any] | None) -> None:
        seconds = time.monotonic() - self.begun
        self.folder.save({"arm": index, "learner": state, "seconds": seconds, "start": self.start})
