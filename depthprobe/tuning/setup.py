"""The setup of a study: everything resolved and checked before anything is created, and read back by every worker."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ConfigError, ModelError, RunFolderError, UsageError
from depthprobe.inputs import ModelSource
from depthprobe.probes.bench import Bench
from depthprobe.probes.crew import check_means
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.grow_setup import Setup, set_up
from depthprobe.probes.own import Asked
from depthprobe.probes.plan import GrowPlan
from depthprobe.probes.setup import DataSource, Source
from depthprobe.runs import RunFolder
from depthprobe.training.team import ALONE, launched
from depthprobe.tuning.climb import planned
from depthprobe.tuning.config import TuneConfig
from depthprobe.tuning.space import (
    Choices,
    Domain,
    Space,
    change_space,
    default_space,
    in_order,
    parse_space,
    space_json,
)
from depthprobe.tuning.stairs import Budget, budget_of, configured, fit_stairs, settings_of, shares_of

CONFIRM_NOTE = "confirmed on the validation examples of the search: fresh seeds, no fresh examples"
RATE_KEYS = ("optimizer", "lr", "momentum", "weight_decay")  # what an optimizer of the user's sets itself


@dataclass(frozen=True, kw_only=True)
class TuneSetup:
    """A study, resolved: the default's grow setup, what is searched, and the updates that every trial has. storage: as
    it may be written down: without a password, and `storage.OWN` for the file in the run folder. notes: what to know.
    """

    base: Setup
    config: TuneConfig
    space: Space
    budget: Budget
    study: str
    storage: str
    notes: tuple[str, ...] = ()

    @property
    def bench(self) -> Bench[GrowPlan]:
        """What all trainings share; its plan is the default's."""
        return self.base.bench

    @property
    def settled(self) -> dict[str, Any]:
        """The default's values of what others depend on."""
        return {"schedule": self.base.config.schedule, "mode": self.base.config.mode}

    @property
    def defaults(self) -> dict[str, Any]:
        """The default's values of everything that can be searched, as a sampler would propose them."""
        grow, train, plan = self.base.config, self.bench.train, self.bench.plan
        shares = shares_of(plan.lengths, plan.cool, self.budget)
        values: dict[str, Any] = {name: getattr(grow, name) for name in ("schedule", "overlap", "opening")}
        values |= {**shares, "mode": grow.mode, "granularity": grow.granularity, "init": grow.init}
        values["max_scale"] = "off" if grow.max_scale is None else grow.max_scale
        values |= {name: getattr(train, name) for name in (*RATE_KEYS, "new_lr_scale", "clip")}
        return {name: value for name, value in values.items() if value is not None}

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What proposed values change of the default's settings."""
        return settings_of(values, self.budget, self.bench.plan.lengths, self.bench.plan.cool)

    def place(self, settings: Mapping[str, Mapping[str, Any]]) -> Bench[GrowPlan]:
        """The bench of a trial."""
        grow, train = configured(settings, self.base.config, self.bench.train)
        return planned(self.bench, grow, train)

    @property
    def identity(self) -> dict[str, Any]:
        """What every training of the study depends on, wherever the files lie; plain values."""
        document = self.base.to_json()
        model, started = document["model"], document["model"].get("checkpoint") or {}
        return {
            "model": [model.get("sha256") or model.get("structure"), model.get("args"), started.get("sha256")],
            "data": document["data"]["fingerprint"],
            **{name: document[name] for name in ("grow", "train")},
        }

    def confirm_folds(self) -> list[int]:
        """Folds of the data for the fresh seeds: none that the search has seen, where there are others."""
        seeds, searched = self.config.seeds, self.config.seeds + self.config.confirm_seeds
        seen = {self.bench.split(rank).valid_id for rank in range(seeds)}
        fresh = [rank for rank in range(searched) if self.bench.split(rank).valid_id not in seen]
        return [(fresh or list(range(searched)))[i % len(fresh or range(searched))] for i in range(searched - seeds)]

    def to_json(self) -> dict[str, Any]:
        """config.json, and what the study holds for its workers."""
        return {
            **self.base.to_json(),
            "tune": self.config.to_json(),
            "space": space_json(self.space),
            "budget_updates": self.budget.updates,
            "study": self.study,
            "storage": self.storage,
        }


def set_up_tuning(
    model: Source,
    source: DataSource,
    grow: GrowConfig,
    train: TrainConfig,
    tune: TuneConfig,
    changes: Mapping[str, Domain | None],
    *,
    study: str,
    storage: str,
    typed: Collection[str] = (),
) -> TuneSetup:
    """Check everything that can be checked before training, and price the default. Raises UsageError; nothing is
    created.

    grow, train: of the default, which is trial 0. changes: of a space file. typed: training settings that were given.
    """
    _check_asked(grow, train)
    grow = replace(grow, seeds=tune.seeds + tune.confirm_seeds)
    train = replace(train, threads=train.threads or 1)  # sums on several threads differ from worker to worker
    asked = Asked(typed=frozenset(typed))
    base = set_up(model, source, grow, train, timed=True, asked=asked)
    check_means(base, ALONE)
    own_optimizer = base.own.functions.optimizer is not None
    space = change_space(default_space(None if own_optimizer else base.bench.train.lr), changes)
    if own_optimizer:
        moot = [name for name in RATE_KEYS if name in changes]
        if moot:
            raise ConfigError(f"{moot[0]} has no effect on your own optimizer", where="--space")
    setup = _assembled(base, tune, space, study, storage)
    return replace(setup, space=_feasible(setup, frozenset(changes)))


def _assembled(base: Setup, tune: TuneConfig, space: Space, study: str, storage: str) -> TuneSetup:
    plan = base.bench.plan
    budget = budget_of(plan.schedule(0), plan.cool, plan.steps, plan.opened)
    fit_stairs({"start": 0.0, "hold": 0.0, "cool": 0.0}, budget, plan.lengths)
    setup = TuneSetup(
        base=base, config=tune, space=in_order(space), budget=budget, study=study, storage=storage, notes=base.notes
    )
    ids = {base.bench.split(rank).valid_id for rank in range(tune.seeds)}
    fresh = all(base.bench.split(fold).valid_id not in ids for fold in setup.confirm_folds())
    return setup if fresh else replace(setup, notes=(*base.notes, CONFIRM_NOTE))


def _check_asked(grow: GrowConfig, train: TrainConfig) -> None:
    if launched():
        raise ConfigError(
            "a study is not run by torchrun", where="torchrun ... -m depthprobe tune",
            hint="depthprobe tune ... --workers N, or depthprobe worker STUDY beside it",
        )  # fmt: skip
    for name, what in (("by", "--by"), ("time_budget", "--time-budget")):
        if getattr(grow, name) is not None:
            raise ConfigError(f"{what} is of grow, a trial of tune has no use for it", where=what)
    if grow.sensitivity or grow.verify or grow.limits:
        raise ConfigError(
            "a trial is one training: it is not repeated, verified or fitted into limits",
            where="sensitivity, verify, max_..., keep_accuracy",
            hint="give them to the grow run that takes best.toml",
        )
    if train.workers > 1:
        raise ConfigError(
            "a trial has no arms to train side by side", where="[train] workers",
            hint="depthprobe tune --workers N, or [tune] workers: so many trials side by side",
        )  # fmt: skip
    if train.log:
        raise ConfigError(
            "a study tells no tracker: its records are in its storage and in records.jsonl", where="[train] log",
            found=", ".join(train.log), hint="leave it out, or give --log to the grow run that takes best.toml",
        )  # fmt: skip


def _feasible(setup: TuneSetup, typed: Collection[str]) -> Space:
    """The space without the inits that this model refuses. Raises ConfigError for one that was asked for."""
    domain = setup.space.get("init")
    if not isinstance(domain, Choices):
        return setup.space
    kept = []
    for init in domain.values:
        try:
            setup.place(setup.settings({"init": init}))
            kept.append(init)
        except UsageError as error:
            if "init" in typed:
                raise ConfigError(
                    f"the model refuses init {init!r}", where="--space", found=error.what, hint="leave it out of init"
                ) from error
    return {**setup.space, "init": Choices(tuple(kept))}


def study_setup(document: Mapping[str, Any], *, model: Source | None = None, data_dir: Path | None = None) -> TuneSetup:
    """The setup that `to_json` gave, opened here. model: where the source lies on this machine; data_dir: the data.

    Raises RunFolderError, naming both hashes, when the model's source or the data are others than the study's.
    """
    record, source = document["model"], DataSource.from_json(document["data"])
    if data_dir is not None:
        source = replace(source, data_dir=str(data_dir.absolute()))
    if model is not None and model.to_json().get("sha256") != record["sha256"]:
        raise _other("model source", record["sha256"], model.to_json().get("sha256"), str(document["study"]))
    try:
        base = set_up(
            model or ModelSource.from_json(record),
            source,
            GrowConfig.from_json(document["grow"]),
            TrainConfig.from_json(document["train"]),
            timed=False,
            asked=Asked(record=document),
        )
    except ModelError as error:
        hint = "--model FILE, where it lies here; or put it back as it was"
        raise RunFolderError(
            f"the study was made with another model source: {error.what}",
            where=str(document["study"]),
            expected=error.expected or f"sha256 {str(record['sha256'])[:12]}",
            found=error.found,
            hint=hint,
        ) from error
    expected, found = document["data"]["fingerprint"], base.data.fingerprint
    if found != expected:
        raise _other("data", expected, found, str(document["study"]))
    space = {name: domain for name, domain in parse_space(document["space"]).items() if domain is not None}
    tune = TuneConfig.from_json(document["tune"])
    base = replace(base, tolerance_note=document["tolerance_note"], lr_note=document["lr_note"])
    return _assembled(base, tune, space, document["study"], document["storage"])


def _other(what: str, expected: object, found: object, study: str) -> RunFolderError:
    return RunFolderError(
        f"this worker has another {what} than the study",
        where=f"study {study}",
        expected=f"sha256 {str(expected)[:12]}",
        found=f"sha256 {str(found)[:12]}",
        hint="bring the same files here, or start a study of your own",
    )


def create_tuning(setup: TuneSetup, out: Path | None, secret: str | None = None) -> RunFolder:
    """The run folder of a new study. secret: a URL with a password, which is not written down."""
    environment = describe_environment(str(setup.bench.accelerator.device))
    words = environment["command_line"]
    environment["command_line"] = [setup.storage if secret and word.endswith(secret) else word for word in words]
    return RunFolder.create(out, "tune", setup.to_json(), environment)


def reopen_tuning(folder: RunFolder) -> TuneSetup:
    """The setup of an interrupted study. Raises when the model or the data are no longer the same."""
    return study_setup(folder.config)
