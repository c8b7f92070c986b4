"""The two studies of a run: the search, and the confirmation on fresh seeds; made, found again, and their queues."""

import json
import secrets
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from depthprobe.errors import ConfigError, RunFolderError
from depthprobe.training.batches import mix_seed
from depthprobe.tuning.queue import IDENTITY, SLOT, Queue
from depthprobe.tuning.quiet import quietly
from depthprobe.tuning.setup import TuneSetup
from depthprobe.tuning.trial import DEFAULT

SETUP = "depthprobe"  # the study's attribute that holds its config.json
CONFIRM = "-confirm"
PLACE = "checkpoints"  # the study's attribute that says on which machine they are, and where
DONE = "answered"
P_THRESHOLD = 0.2  # of the signed-rank test: with 4 seeds it can first say something after the third


def check_name(study: str) -> None:
    """Raise ConfigError for the name that another study's confirmation would have."""
    if study.endswith(CONFIRM):
        raise ConfigError(
            f"a study whose name ends in {CONFIRM!r} would be taken for a confirmation", where="--study", found=study
        )


def refuse_taken(setup: TuneSetup, storage: RDBStorage) -> None:
    """Raise ConfigError when the storage has a study of this name already."""
    names = optuna.get_all_study_names(storage)
    if setup.study in names:
        raise ConfigError(
            "the storage has a study of this name already",
            where="--study",
            expected="a new name: nothing is overwritten",
            found=setup.study,
            hint=f"another --study; depthprobe worker {setup.study} --storage URL joins it",
        )
    if setup.study + CONFIRM in names:
        raise _left_over(setup)


def ensure_study(setup: TuneSetup, storage: RDBStorage, place: Path) -> None:
    """The study of the search, every trial waiting, the default first; what is there already is left. place: folder of
    checkpoints on this machine.
    """
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [up, down] if setup.config.pareto else [up]
    with quietly():
        study = optuna.create_study(storage=storage, study_name=setup.study, directions=directions, load_if_exists=True)
    known = {trial.user_attrs[SLOT] for trial in study.get_trials(deepcopy=False)}
    if 0 not in known:
        first = {SLOT: 0, DEFAULT: True, "settings": {"grow": {}, "train": {}}}
        study.enqueue_trial(held_defaults(setup), user_attrs=first)
    for slot in range(1, setup.config.trials):
        if slot not in known:
            study.enqueue_trial({}, user_attrs={SLOT: slot})
    if IDENTITY not in study.user_attrs:
        study.set_user_attr(IDENTITY, secrets.token_hex(8))
    study.set_user_attr(PLACE, [socket.gethostname(), str(place.absolute())])
    study.set_user_attr(SETUP, json.dumps(setup.to_json()))  # last: a worker joins a whole study only


def held_defaults(setup: TuneSetup) -> dict[str, Any]:
    """The default's values, as far as they lie in the space."""
    space = setup.space
    return {name: value for name, value in setup.defaults.items() if name in space and space[name].holds(value)}


def create_confirmation(setup: TuneSetup, storage: RDBStorage, jobs: list[dict[str, Any]]) -> None:
    """The study of the confirmation; one waiting trial for each of `jobs`. One that is there already is completed.

    Raises ConfigError when it is that of an earlier study of the same name.
    """
    identity = _attributes(setup.study, storage)[IDENTITY]
    with quietly():
        study = optuna.create_study(
            storage=storage, study_name=setup.study + CONFIRM, direction="maximize", load_if_exists=True
        )
    known = {trial.user_attrs[SLOT] for trial in study.get_trials(deepcopy=False)}
    if study.user_attrs.get(IDENTITY, None if known else identity) != identity:
        raise _left_over(setup)
    study.set_user_attr(IDENTITY, identity)
    for slot, job in enumerate(jobs):
        if slot not in known:
            study.enqueue_trial({}, user_attrs={SLOT: slot, **job})
    study.set_user_attr("jobs", len(jobs))


def read_study(name: str, storage: RDBStorage, where: str) -> Mapping[str, Any]:
    """The config.json that the study `name` holds. Raises RunFolderError when it is none of ours."""
    try:
        attributes = _attributes(name, storage)
    except KeyError as error:
        known = [study for study in optuna.get_all_study_names(storage) if not study.endswith(CONFIRM)]
        raise RunFolderError(
            f"there is no study {name!r}", where=where, expected=", ".join(known[:8]) or "a study", found="none such"
        ) from error
    if SETUP not in attributes:
        raise RunFolderError(f"the study {name!r} was not made by depthprobe tune", where=where)
    return dict(json.loads(attributes[SETUP]))


def checkpoints_here(name: str, storage: RDBStorage) -> Path | None:
    """Where the trials of a study leave their checkpoints, if that is on this machine."""
    attributes = _attributes(name, storage)
    host, place = attributes.get(PLACE, ("", ""))
    return Path(place) if host == socket.gethostname() and Path(place).is_dir() else None


def open_search(setup: TuneSetup, storage: RDBStorage) -> Queue:
    """The queue of the search."""
    return Queue(setup.study, storage, partial(make_sampler, setup), make_pruner(setup))


def open_confirmation(setup: TuneSetup, storage: RDBStorage) -> Queue | None:
    """The queue of the confirmation; None before the search is done. Raises ConfigError for an earlier study's."""
    name = setup.study + CONFIRM
    if name not in optuna.get_all_study_names(storage):
        return None
    queue = Queue(name, storage, lambda slot: RandomSampler(seed=0), NopPruner())
    if "jobs" not in queue.user_attrs:
        return None
    if queue.user_attrs.get(IDENTITY) != _attributes(setup.study, storage)[IDENTITY]:
        raise _left_over(setup)
    return queue


def _attributes(name: str, storage: RDBStorage) -> dict[str, Any]:
    return storage.get_study_user_attrs(storage.get_study_id_from_name(name))


def _left_over(setup: TuneSetup) -> ConfigError:
    return ConfigError(
        "the storage has the confirmation of an earlier study of this name",
        where="--study",
        expected="a name that none had before",
        found=setup.study + CONFIRM,
        hint=f"another --study; or remove it: optuna delete-study --study-name {setup.study + CONFIRM} --storage URL",
    )


def make_sampler(setup: TuneSetup, slot: int) -> BaseSampler:
    """A new sampler for one slot: what it proposes depends on the study so far and on the slot."""
    seed = mix_seed(setup.base.config.seed, slot, 7) % 2**32
    if setup.config.sampler == "random":
        return RandomSampler(seed=seed)
    if setup.config.sampler == "gp":
        with quietly():
            return GPSampler(seed=seed, warn_independent_sampling=False)
    with quietly():
        return TPESampler(seed=seed, multivariate=True, group=True)


def make_pruner(setup: TuneSetup) -> BasePruner:
    """Hyperband over the holds, a signed-rank test over the seeds, or none."""
    if setup.config.pruner == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=len(setup.budget.opened))
    if setup.config.pruner == "wilcoxon":
        with quietly():
            return WilcoxonPruner(p_threshold=P_THRESHOLD)
    return NopPruner()
