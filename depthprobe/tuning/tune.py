"""The tune verb: a study run to its end, its best trials confirmed, the answer written."""

import time
from collections.abc import Callable
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from depthprobe.errors import TrainingError
from depthprobe.probes.cost import Forecast
from depthprobe.runs import RunFolder
from depthprobe.tuning.answer import conclude_tuning, confirm_ranks
from depthprobe.tuning.climb import cost_of
from depthprobe.tuning.confirm import Contender, choose_top, confirmation_jobs, weigh
from depthprobe.tuning.queue import ERROR, FAILED, Queue, await_lost, by_slot, ended, last_attempts, mend
from depthprobe.tuning.setup import TuneSetup
from depthprobe.tuning.storage import open_storage
from depthprobe.tuning.study import (
    CONFIRM,
    DONE,
    PLACE,
    create_confirmation,
    ensure_study,
    open_confirmation,
    open_search,
)
from depthprobe.tuning.trial import Runner
from depthprobe.tuning.workers import CONFIRMATION, SEARCH, grace, local_workers, see_through

Tell = Callable[[dict[str, Any], int], None]


def run_tune(setup: TuneSetup, folder: RunFolder, url: str, tell: Tell) -> dict[str, Any]:
    """Run what is left of the study, confirm, decide, and write the answer into the run folder; returns it.

    url: of the storage. tell: hears of every trial that ended, and how many there will be. Raises TrainingError when
    the default and all other trials failed.
    """
    storage = open_storage(url, setup.config.heartbeat)
    place = folder.path / PLACE
    ensure_study(setup, storage, place)
    search, diary = open_search(setup, storage), Diary(folder, tell)
    _take_up(search, setup.config.heartbeat)
    with local_workers(setup, url, place) as processes:
        see_through(search, Runner(setup, place / SEARCH), processes, diary.watch(search, setup.config.trials))
        confirm, top = _confirmation(setup, search, storage, folder)
        total = len(last_attempts(confirm))
        see_through(confirm, Runner(setup, place / CONFIRMATION), processes, diary.watch(confirm, total))
    contenders = _weighed(setup, top, confirm)
    answer = conclude_tuning(setup, folder, search, confirm, contenders, diary.seconds)
    search.set_user_attr(DONE, True)
    return answer


def _take_up(queue: Queue, heartbeat: int) -> None:
    """What an earlier process left running or interrupted waits again."""
    await_lost(queue, grace(heartbeat))
    mend(queue)


def _confirmation(
    setup: TuneSetup, search: Queue, storage: RDBStorage, folder: RunFolder
) -> tuple[Queue, list[FrozenTrial]]:
    top = choose_top(last_attempts(search), setup.config.confirm_top, pareto=setup.config.pareto)
    if not any(trial.state == TrialState.COMPLETE for trial in top):
        raise TrainingError(
            "all trials failed",
            where=str(folder.path),
            found=str(next((t.user_attrs[FAILED] for t in last_attempts(search) if FAILED in t.user_attrs), "")),
            hint="a smaller learning rate: --lr, or lr in --space",
        )
    create_confirmation(setup, storage, confirmation_jobs(top, confirm_ranks(setup), setup.confirm_folds()))
    confirm = open_confirmation(setup, storage)
    assert confirm is not None
    _take_up(confirm, setup.config.heartbeat)
    mend(confirm, given_up=True)  # of an earlier process: a training that was lost is no result
    return confirm, top


def _weighed(setup: TuneSetup, top: list[FrozenTrial], confirm: Queue) -> list[Contender]:
    metric, tolerance = setup.bench.metric, setup.base.config.tolerance or 0.005
    return weigh(
        top,
        last_attempts(confirm),
        confidence=setup.base.config.confidence,
        fraction=metric.fraction,
        scale=1.0 if metric.known_scale else tolerance / 0.005,
    )


def forecast_study(setup: TuneSetup) -> tuple[float, float | None]:
    """The cost of the whole study if every trial costs what the default does: in conventional trainings of the deepest
    candidate, and in seconds where the parts were timed (one worker).
    """
    tune, priced = setup.config, setup.base.forecast
    count = tune.trials * tune.seeds + (1 + tune.confirm_top) * tune.confirm_seeds
    trainings = count * cost_of(setup.bench.plan, 0)
    return trainings, _seconds(priced, trainings)


def _seconds(priced: Forecast, trainings: float) -> float | None:
    return None if priced.seconds is None else priced.seconds / priced.trainings * trainings


class Diary:
    """Notes every trial that ended into records.jsonl, once, and says so; survives interruptions."""

    def __init__(self, folder: RunFolder, tell: Tell) -> None:
        self.folder, self.tell = folder, tell
        self.begun = time.monotonic() - float(folder.restore()["seconds"])
        self.known = {(record["stage"], record["trial"], record["attempt"]) for record in folder.records()}

    @property
    def seconds(self) -> float:
        """What the study took so far, interruptions left out."""
        return time.monotonic() - self.begun

    def watch(self, queue: Queue, total: int) -> Callable[[], None]:
        """A function that notes the trials of `queue` that ended since it was last called."""
        stage = CONFIRMATION if queue.study_name.endswith(CONFIRM) else SEARCH

        def look() -> None:
            for slot, attempts in sorted(by_slot(queue.get_trials(deepcopy=False)).items()):
                if (stage, slot, len(attempts)) not in self.known and ended(attempts):
                    self.known.add((stage, slot, len(attempts)))
                    self._note(attempts[-1], stage, len(attempts), total)

        return look

    def _note(self, trial: FrozenTrial, stage: str, attempt: int, total: int) -> None:
        attributes = trial.user_attrs
        record = {
            "kind": "trial",
            "stage": stage,
            "trial": attributes["slot"],
            "attempt": attempt,
            "state": trial.state.name.lower(),
            "values": trial.values,
            "failed": attributes.get(FAILED) or attributes.get(ERROR),
            "of": attributes.get("of"),
            "rank": attributes.get("rank"),
            "settings": attributes.get("settings"),
            "cost": attributes.get("cost"),
            "took_seconds": attributes.get("seconds"),
        }
        self.folder.append(record)
        self.folder.save({"arm": 0, "learner": None, "seconds": self.seconds})
        self.tell(record, total)
