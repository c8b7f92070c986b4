"""Optuna's storage as the queue: a fixed number of trials, each taken once, a lost one run again once."""

import logging
import multiprocessing
import warnings

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from depthprobe.tuning.queue import (
    ERROR,
    INTERRUPTED,
    SLOT,
    Queue,
    TrialFailed,
    by_slot,
    drain,
    ended,
    last_attempts,
    mend,
    slot_of,
)
from depthprobe.tuning.quiet import quietly
from depthprobe.tuning.storage import open_storage

TRIALS, PROCESSES = 24, 3


def open_queue(url, trials=0, heartbeat=60):
    storage = open_storage(url, heartbeat)
    with quietly():
        study = optuna.create_study(storage=storage, study_name="study", direction="maximize", load_if_exists=True)
        for slot in range(trials):
            study.enqueue_trial({}, user_attrs={SLOT: slot})
    return Queue("study", storage, lambda slot: RandomSampler(seed=slot), NopPruner())


def square(trial):
    return trial.suggest_float("x", 0, 1) ** 2


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Trials here end at once: nobody waits half a second for them."""
    monkeypatch.setattr("depthprobe.tuning.queue.POLL_SECONDS", 0.02)


@pytest.fixture
def watched(monkeypatch):
    """see_through, with one local worker that is alive. Imported late: the processes below start without torch."""
    from depthprobe.tuning import workers

    monkeypatch.setattr(workers, "POLL_SECONDS", 0.02)
    process = Watched()
    return process, lambda queue, runner, after: workers.see_through(queue, runner, [process], after)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'study.db'}"


def states(queue):
    return [trial.state for trial in last_attempts(queue)]


def test_what_waits_is_run_and_nothing_more(url):
    queue = open_queue(url, 5)
    assert drain(queue, square) == 5
    assert drain(queue, square) == 0
    assert [slot_of(trial) for trial in queue.trials] == [0, 1, 2, 3, 4]
    assert states(queue) == [TrialState.COMPLETE] * 5


def test_what_is_proposed_depends_on_the_slot_and_not_on_the_process(tmp_path):
    one = open_queue(f"sqlite:///{tmp_path / 'one.db'}", 6)
    drain(one, square)
    two = open_queue(f"sqlite:///{tmp_path / 'two.db'}", 6)
    other = open_queue(f"sqlite:///{tmp_path / 'two.db'}")
    while two.unfinished():
        for queue in (two, other):  # by turns, as two workers would
            calls = iter([False, True])
            drain(queue, square, stops=lambda calls=calls: next(calls))
    assert [t.value for t in last_attempts(one)] == [t.value for t in last_attempts(two)]


def _pull(url, barrier):
    warnings.simplefilter("ignore")
    queue = open_queue(url)
    barrier.wait()
    drain(queue, square)


def test_processes_that_race_take_every_trial_once(url):
    queue = open_queue(url, TRIALS)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    processes = [context.Process(target=_pull, args=(url, barrier)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    trials = queue.get_trials()
    assert len(trials) == TRIALS
    assert {slot_of(trial) for trial in trials} == set(range(TRIALS))
    assert states(queue) == [TrialState.COMPLETE] * TRIALS


def test_an_interrupted_trial_waits_again_and_has_its_retry_left(url):
    queue = open_queue(url, 2)

    def interrupted(trial):
        square(trial)
        trial.set_user_attr(INTERRUPTED, True)
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            drain(queue, interrupted)
        mend(queue)
    assert drain(queue, square) == 2
    attempts = by_slot(queue.get_trials())[0]
    assert [trial.state for trial in attempts] == [TrialState.FAIL] * 3 + [TrialState.COMPLETE]
    assert len({trial.params["x"] for trial in attempts}) == 1


def test_an_error_is_given_one_more_try_and_no_third(url):
    queue = open_queue(url, 1)

    def broken(trial):
        raise ValueError("broken")

    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            drain(queue, broken)
        mend(queue)
    assert drain(queue, square) == 0
    (attempts,) = by_slot(queue.get_trials()).values()
    assert len(attempts) == 2
    assert ended(attempts)


def test_a_training_that_failed_for_good_is_not_run_again(url):
    queue = open_queue(url, 2)

    def fails(trial):
        trial.set_user_attr("failed", "diverged")
        raise TrialFailed

    assert drain(queue, fails) == 2
    mend(queue)
    assert not queue.unfinished()
    assert states(queue) == [TrialState.FAIL] * 2


def interrupt_one(queue):
    """Another worker takes the next trial and gets Ctrl-C."""

    def interrupted(trial):
        trial.set_user_attr(INTERRUPTED, True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(queue, interrupted)


def lose_one(queue):
    """Another worker takes the next trial and dies; the heartbeat notices."""
    fail(queue, queue.ask())


def fail(queue, trial):
    queue.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)


@pytest.mark.parametrize("happens", [[interrupt_one], [lose_one], [interrupt_one, lose_one, interrupt_one]])
def test_what_is_lost_elsewhere_while_others_run_is_run_again(url, happens):
    queue, elsewhere = open_queue(url, 5), open_queue(url)
    left = list(happens)

    def meanwhile(trial):
        if left:
            left.pop(0)(elsewhere)
        return square(trial)

    assert drain(queue, meanwhile, mends=True) == 5
    assert states(queue) == [TrialState.COMPLETE] * 5
    assert len(queue.trials) == 5 + len(happens)


class Watched:
    """A local worker, as whoever started it sees it."""

    alive = True

    def is_alive(self):
        return self.alive


def test_a_trial_lost_while_workers_are_watched_goes_to_one_of_them(url, watched):
    queue, there = open_queue(url, 2), open_queue(url)
    _, see_through = watched
    interrupt_one(there)

    def work():
        drain(there, square)

    see_through(queue, pytest.fail, work)
    assert states(queue) == [TrialState.COMPLETE] * 2


def test_an_error_of_a_local_worker_is_met_by_whoever_started_it(url, watched):
    queue, there = open_queue(url, 2), open_queue(url)
    process, see_through = watched

    def broken(trial):
        trial.set_user_attr(ERROR, "ValueError: broken")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        drain(there, broken)

    def work():
        drain(there, square)
        process.alive = False

    with pytest.raises(ValueError, match="broken"):
        see_through(queue, broken, work)
    assert states(queue) == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.parametrize("tells", ["a value", "an attribute", "an error"])
def test_a_worker_taken_for_dead_drops_its_trial_in_one_line(url, caplog, tells):
    queue = open_queue(url, 1)

    def outlived(trial):
        fail(queue, trial)
        if tells == "an attribute":
            trial.set_user_attr("late", True)
        if tells == "an error":
            raise OSError("late")
        return 1.0

    with caplog.at_level(logging.WARNING):
        assert drain(queue, outlived) == 0
    (line,) = caplog.messages
    assert "trial 0 was taken for lost" in line
    assert len(queue.trials) == 1
    assert drain(queue, square, mends=True) == 1


def test_an_interrupt_of_a_worker_taken_for_dead_still_ends_it(url):
    queue = open_queue(url, 1)

    def outlived(trial):
        fail(queue, trial)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(queue, outlived)


def test_what_was_lost_twice_is_given_up_and_waits_again_where_that_is_asked(url):
    queue = open_queue(url, 1)
    for _ in range(2):
        lose_one(queue)
        mend(queue)
    assert not queue.unfinished()
    mend(queue, given_up=True)
    assert drain(queue, square) == 1
