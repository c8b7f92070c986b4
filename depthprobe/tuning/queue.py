"""The queue: every trial of a study waits in Optuna's storage from the beginning, and each is taken once."""

import copy
import logging
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
IDENTITY = (
    "identity"  # of a study, beside its name, which another one may have had before; its confirmation has the same
)
INTERRUPTED = "interrupted"
ERROR = "error"  # of a worker, not of the training: whoever started the study runs the trial again, and says it
FAILED = "failed"
POLL_SECONDS = 0.5
LOST = 2  # attempts of a slot, after which it is given up

Objective = Callable[[optuna.Trial], float | Sequence[float]]

_log = logging.getLogger("depthprobe")


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
        self.taken: int | None = None  # Optuna's number of the trial that was asked for last

    def ask(self, fixed_distributions: Mapping[str, Any] | None = None) -> optuna.Trial:
        """The next waiting trial, those that a worker lost first. Raises NothingWaits."""
        self._thread_local.cached_all_trials = None  # as Optuna's own does: what others wrote since is read
        waiting = self.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for trial in sorted(waiting, key=slot_of):
            if self._claim(trial):
                self.sampler, self.taken = self.make_sampler(slot_of(trial)), trial.number
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

    def broken(self) -> list[FrozenTrial]:
        """The last attempts of the slots that were interrupted or lost and may be run again."""
        return [tries[-1] for tries in self._failed() if not ended(tries)]

    def given_up(self) -> list[FrozenTrial]:
        """The last attempts of the slots that were lost too often: nobody knows what would have come of them."""
        return [tries[-1] for tries in self._failed() if ended(tries) and not came_to_nothing(tries[-1])]

    def _failed(self) -> list[list[FrozenTrial]]:
        """All attempts of the slots that failed last."""
        slots = by_slot(self.get_trials(deepcopy=False))
        return [tries for tries in slots.values() if tries[-1].state == TrialState.FAIL]

    def unfinished(self) -> bool:
        """Whether a trial waits or runs."""
        return bool(self.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING)))


def slot_of(trial: FrozenTrial) -> int:
    """The place of a trial in the study: that of the first attempt, for one that is run again."""
    return int(trial.user_attrs[SLOT])


class TrialFailed(Exception):  # noqa: N818  (an outcome of a trial)
    """Nothing to tell the sampler: the settings forbid a training, or it diverged and its metric has no worst value."""


def drain(
    queue: Queue,
    objective: Objective,
    *,
    stops: Callable[[], bool] = lambda: False,
    after: Callable[[], None] = lambda: None,
    mends: bool = False,
) -> int:
    """Run what waits until nothing waits and nothing runs, or `stops` says so; returns how many trials were run here.

    A trial that runs elsewhere is waited for: its worker may die, and it is then run again. after: called whenever a
    trial may have ended, here or elsewhere. mends: as `mend` does, all the time; for one process of a study.
    """
    done = 0
    while not stops():
        if mends:
            mend(queue)
        try:
            done += _run_next(queue, objective)
        except NothingWaits:
            if not queue.running() and not (mends and queue.broken()):
                break
            time.sleep(POLL_SECONDS)
        finally:
            after()
    return done


def _run_next(queue: Queue, objective: Objective) -> bool:
    """Run the next trial; False when this process was taken for dead meanwhile, and somebody else has the trial.

    Optuna then says that a trial which failed cannot be told: ValueError, or AssertionError on the way to its log.
    """
    own: list[BaseException] = []

    def heard(trial: optuna.Trial) -> float | Sequence[float]:
        try:
            return objective(trial)
        except BaseException as error:
            own.append(error)
            raise

    try:
        with quietly():
            queue.optimize(heard, n_trials=1, catch=(TrialFailed,))
    except (UpdateFinishedTrialError, ValueError, AssertionError) as error:
        if error in own or queue.taken is None or queue.trials[queue.taken].state != TrialState.FAIL:
            raise
        if own and isinstance(own[0], KeyboardInterrupt):
            raise own[0] from None
        slot = slot_of(queue.trials[queue.taken])
        _log.warning("trial %d was taken for lost, no sign of life came through; what came of it here is dropped", slot)
        return False
    return True


def await_lost(queue: Queue, seconds: float) -> None:
    """Let the heartbeat find the trials of a worker that died: until none runs, at most so long."""
    end = time.monotonic() + seconds
    while queue.running() and time.monotonic() < end:
        with quietly():
            fail_stale_trials(queue)
        time.sleep(POLL_SECONDS)


def mend(queue: Queue, *, errors: bool = True, given_up: bool = False) -> None:
    """Let every slot wait again that was interrupted or lost; those that came to an end of their own are left.

    One process of a study does this, the one that started it: two would let a slot wait twice. errors: also where a
    worker met an error of its own. given_up: also what was lost too often.
    """
    for trial in [*queue.broken(), *(queue.given_up() if given_up else [])]:
        if errors or ERROR not in trial.user_attrs:
            _wait_again(queue, trial)


def _wait_again(queue: Queue, trial: FrozenTrial) -> None:
    again = copy.deepcopy(trial)
    for mark in (INTERRUPTED, ERROR):
        again.user_attrs.pop(mark, None)
    with quietly():
        RetryHeartbeatStaleTrialCallback()(queue, again)


def ended(attempts: Sequence[FrozenTrial]) -> bool:
    """Whether a slot, all attempts of which are given, has come to its end: with a value, cut short, or given up."""
    last, lost = attempts[-1], [trial for trial in attempts if not trial.user_attrs.get(INTERRUPTED)]
    if last.state != TrialState.FAIL:
        return last.state.is_finished()
    return came_to_nothing(last) or (not last.user_attrs.get(INTERRUPTED) and len(lost) >= LOST)


def came_to_nothing(trial: FrozenTrial) -> bool:
    """Whether it failed of its own, and would again."""
    return bool(trial.user_attrs.get(FAILED))


def by_slot(trials: Sequence[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """All attempts of every slot, in order."""
    slots: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        slots.setdefault(slot_of(trial), []).append(trial)
    return slots


def last_attempts(queue: optuna.Study) -> list[FrozenTrial]:
    """The last attempt of every slot, in the order of the slots."""
    return [attempts[-1] for _, attempts in sorted(by_slot(queue.get_trials(deepcopy=False)).items())]
