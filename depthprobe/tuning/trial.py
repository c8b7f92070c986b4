"""What a worker does with one trial: its trainings, and the whole result in the trial's attributes."""

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from depthprobe.errors import UsageError
from depthprobe.probes.bench import Arm, Bench
from depthprobe.probes.plan import GrowPlan
from depthprobe.tuning.climb import TrialNotebook, cost_of, key_of, train_up
from depthprobe.tuning.queue import ERROR, FAILED, IDENTITY, INTERRUPTED, SLOT, TrialFailed
from depthprobe.tuning.setup import TuneSetup
from depthprobe.tuning.space import applies, draw

DEFAULT = "default"
WORST = 0.0  # of a metric that is a fraction: what a training is worth that diverged


class Runner:
    """Runs the trials of a study, of the search or of the confirmation.

    place: folder of checkpoints, one inside for every slot (None: no checkpoints). A trial depends on its settings and
    seeds alone: all trials of the search are trained with the same seeds, so that they are compared like with like.
    """

    def __init__(self, setup: TuneSetup, place: Path | None) -> None:
        self.setup, self.place = setup, place

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, float]:
        """The value of a trial, and its cost where both are sought. Raises TrialPruned."""
        try:
            return self._run(trial)
        except KeyboardInterrupt:
            with contextlib.suppress(UpdateFinishedTrialError):
                trial.set_user_attr(INTERRUPTED, True)  # it will be run again, and that does not count as a retry
            raise
        except (optuna.TrialPruned, TrialFailed):
            raise
        except Exception as error:
            with contextlib.suppress(UpdateFinishedTrialError):
                trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
            raise

    def _run(self, trial: optuna.Trial) -> float | tuple[float, float]:
        begun = time.monotonic()
        trial.set_user_attr("worker", f"{socket.gethostname()}:{os.getpid()}")
        settings, bench = self._placed(trial)
        cost = cost_of(bench.plan, 0)
        trial.set_user_attr("cost", cost)
        runs: list[dict[str, Any]] = list(trial.user_attrs.get("runs", []))  # those of a worker that died
        jobs = self._jobs(trial)
        for rank in range(len(runs)):
            self._at_seed(trial, rank, runs[: rank + 1])
        for rank, fold in jobs[len(runs) :]:
            arm = Arm(self.setup.base.config.seed + rank, rank, "trial")
            place = self.place / f"{trial.user_attrs[SLOT]:05d}" / str(rank) if self.place else None
            key = {"settings": settings, "seed": arm.seed, "rank": rank, "fold": fold, **self.setup.identity}
            notebook = TrialNotebook(place, key_of({"study": trial.study.user_attrs[IDENTITY], **key}))
            try:
                runs.append(train_up(bench, arm, fold, notebook, lambda k, value: self._at_hold(trial, k, value)))
            except optuna.TrialPruned:
                learner = notebook.learner
                trial.set_user_attr("cut", {"updates": learner.updates, "samples": learner.samples} if learner else {})
                notebook.discard()
                raise
            trial.set_user_attr("runs", runs)
            if notebook.resumed_at:
                trial.set_user_attr("resumed_at_step", notebook.resumed_at)
            self._at_seed(trial, rank, runs)
        trial.set_user_attr("seconds", round(time.monotonic() - begun, 2))
        value = self._value(trial, runs)
        return (value, cost) if self._pareto(trial) else value

    def _placed(self, trial: optuna.Trial) -> tuple[dict[str, Any], Bench[GrowPlan]]:
        """The settings of a trial, and its bench. Raises TrialFailed where they go together with no training: that is
        the end of a trial, and of the study where the default is meant.
        """
        try:
            settings = self._settings(trial)
            return settings, self.setup.place(settings)
        except UsageError as error:
            if trial.user_attrs.get(DEFAULT) or confirms(trial):
                raise
            trial.set_user_attr(FAILED, f"infeasible: {error.what}")
            raise TrialFailed(error.what) from error

    def _settings(self, trial: optuna.Trial) -> dict[str, Any]:
        """Those of the trial, proposed now unless they are known. The default's parameters are noted where it lies in
        the space.
        """
        if trial.user_attrs.get(DEFAULT) and not confirms(trial):
            values, space = self.setup.defaults, self.setup.space
            for name, domain in space.items():
                if name in values and applies(name, values, {}) and domain.holds(values[name]):
                    domain.suggest(trial, name)
        if "settings" not in trial.user_attrs:
            values = draw(trial, self.setup.space, self.setup.settled)
            trial.set_user_attr("settings", self.setup.settings(values))
        return dict(trial.user_attrs["settings"])

    def _jobs(self, trial: optuna.Trial) -> list[tuple[int, int]]:
        """Rank of the seed and fold of the data of every training of a trial."""
        if confirms(trial):
            return [(trial.user_attrs["rank"], trial.user_attrs["fold"])]
        return [(rank, rank) for rank in range(self.setup.config.seeds)]

    def _pareto(self, trial: optuna.Trial) -> bool:
        return self.setup.config.pareto and not confirms(trial)

    def _at_hold(self, trial: optuna.Trial, rank: int, value: float) -> None:
        if self.setup.config.pruner == "hyperband" and not confirms(trial):
            _report(trial, rank + 1, value)

    def _at_seed(self, trial: optuna.Trial, rank: int, runs: Sequence[dict[str, Any]]) -> None:
        if self.setup.config.pruner == "wilcoxon" and not confirms(trial):
            _report(trial, rank, runs[-1].get("value", WORST))

    def _value(self, trial: optuna.Trial, runs: Sequence[dict[str, Any]]) -> float:
        """The mean over the seeds. Raises TrialFailed where one diverged and the metric has no worst value."""
        failed = [run["failed"] for run in runs if run["failed"]]
        if failed and not self.setup.bench.metric.fraction:
            trial.set_user_attr(FAILED, failed[0])
            raise TrialFailed(failed[0])
        return float(sum(run.get("value", WORST) for run in runs) / len(runs))


def confirms(trial: optuna.Trial | optuna.trial.FrozenTrial) -> bool:
    """Whether it is a training of the confirmation."""
    return "fold" in trial.user_attrs


def _report(trial: optuna.Trial, step: int, value: float) -> None:
    trial.report(value, step)
    if trial.should_prune():
        raise optuna.TrialPruned
