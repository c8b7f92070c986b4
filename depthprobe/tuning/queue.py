"""The queue: every trial of a study waits in Optuna's storage from the beginning, and each is taken once."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from depthprobe.tuning.quiet import quietly

SLOT = "slot"
INTERRUPTED = "interrupted"
FAILED = "failed"
POLL_SECONDS = 0.5
LOST = 2  # attempts of a slot, after which it is given up

Objective = Callable[[optuna.Trial], float | Sequence[float]]


class NothingWaits(Exception):  # noqa: N818  (not an error: the queue is empty)
    """No trial waits to be run."""


class Queue(optuna.Study):
    """A study that runs what waits and never adds a trial of its own: so their number is fixed, however many workers.

    make_sampler: slot -> sampler; what it proposes depends on the study and the slot, not on the process.
    """

    def __init__(
        self,
        name: str,
        storage: optuna.storages.BaseStorage,
        make_sampler: Callable[[int], BaseSampler],
        pruner: BasePruner,
    ) -> None:
        super().__init__(name, storage, sampler=make_sampler(0), pruner=pruner)
        self.storage, self.make_sampler = storage, make_sampler

    def ask(self, fixed_distributions: Mapping[str, Any] | None = None) -> optuna.Trial:
        """The next waiting trial, those that a worker lost first. Raises NothingWaits."""
        self._thread_local.cached_all_trials = None  # as Optuna's own does: what others wrote since is read
        waiting = self.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for trial in sorted(waiting, key=slot_of):
            if self._claim(trial):
                self.sampler = self.make_sampler(slot_of(trial))
                return optuna.Trial(self, trial._trial_id)
        raise NothingWaits

    def _claim(self, trial: FrozenTrial) -> bool:
        if isinstance(self.storage, optuna.storages.RDBStorage):  # one that runs without a beat is never found lost
            self.storage.record_heartbeat(trial._trial_id)
        try:
            return self.storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def running(self) -> bool:
        """Whether a trial runs, here or elsewhere."""
        return bool(self.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def unfinished(self) -> bool:
        """Whether a trial waits or runs."""
        return bool(self.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING)))


def slot_of(trial: FrozenTrial) -> int:
    """The place of a trial in the study: that of the first attempt, for one that is run again."""
    return int(trial.user_attrs[SLOT])


class TrialFailed(Exception):  # noqa: N818  (an outcome of a trial)
    """The training diverged, and its metric has no worst value to tell the sampler."""


def drain(
    queue: Queue,
    objective: Objective,
    *,
    stops: Callable[[], bool] = lambda: False,
    after: Callable[[], None] = lambda: None,
) -> int:
    """Run what waits until nothing waits and nothing runs, or `stops` says so; returns how many trials were run here.

    A trial that runs elsewhere is waited for: its worker may die, and it is then run again. after: called whenever a
    trial may have ended, here or elsewhere.
    """
    done = 0
    while not stops():
        try:
            with quietly():
                queue.optimize(objective, n_trials=1, catch=(TrialFailed,))
            done += 1
        except NothingWaits:
            if not queue.running():
                break
            time.sleep(POLL_SECONDS)
        except UpdateFinishedTrialError:
            continue  # this process was taken for dead, and somebody else has the trial
        finally:
            after()
    return done


def await_lost(queue: Queue, seconds: float) -> None:
    """Let the heartbeat find the trials of a worker that died: until none runs, at most so long."""
    end = time.monotonic() + seconds
    while queue.running() and time.monotonic() < end:
        with quietly():
            fail_stale_trials(queue)
        time.sleep(POLL_SECONDS)


def mend(queue: Queue) -> None:
    """Let every slot wait again that was interrupted, or lost with nobody there to see to it; those that came to an end
    of their own are left.
    """
    if not _broken(queue):
        return
    time.sleep(2 * POLL_SECONDS)  # whoever found a trial lost is about to let it wait again
    with quietly():
        again = RetryHeartbeatStaleTrialCallback()
    for trial in _broken(queue):
        trial.user_attrs.pop(INTERRUPTED, None)
        again(queue, trial)


def _broken(queue: Queue) -> list[FrozenTrial]:
    slots = by_slot(queue.get_trials(deepcopy=True))
    return [
        attempts[-1] for attempts in slots.values() if attempts[-1].state == TrialState.FAIL and not ended(attempts)
    ]


def ended(attempts: Sequence[FrozenTrial]) -> bool:
    """Whether a slot, all attempts of which are given, has come to its end: with a value, cut short, or given up."""
    last, lost = attempts[-1], [trial for trial in attempts if not trial.user_attrs.get(INTERRUPTED)]
    if last.state != TrialState.FAIL:
        return last.state.is_finished()
    return bool(last.user_attrs.get(FAILED)) or (not last.user_attrs.get(INTERRUPTED) and len(lost) >= LOST)


def by_slot(trials: Sequence[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """All attempts of every slot, in order."""
    slots: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        slots.setdefault(slot_of(trial), []).append(trial)
    return slots


def last_attempts(queue: optuna.Study) -> list[FrozenTrial]:
    """The last attempt of every slot, in the order of the slots."""
    return [attempts[-1] for _, attempts in sorted(by_slot(queue.get_trials(deepcopy=False)).items())]
