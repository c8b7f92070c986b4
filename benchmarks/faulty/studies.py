"""Runs of tune: which process of one is killed, and what must hold of its study."""

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.pool import NullPool

from depthprobe.tuning.queue import by_slot
from depthprobe.tuning.quiet import quietly
from depthprobe.tuning.storage import local_url

SAME = ("state", "values", "settings", "cost", "of", "rank")


def local_workers(parent: int) -> list[int]:
    """Processes that `tune --workers` started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if ours and b"spawn_main" in words:
            found.append(int(folder.name))
    return sorted(found)


def difference(whole: Path, other: Path) -> str | None:
    """What of a finished study is not as it must be; None: nothing.

    Every trial ends exactly once, with the value of the undisturbed study: so does the answer. A trial that lost its
    worker twice is given up, as promised: then its value is missing, and who is confirmed may differ.
    """
    problem = queue_problem(other)
    if problem:
        return problem
    ours, theirs, lost = ends(whole), ends(other), given_up(other)
    search = [key for key in ours if key[0] == "trials"]
    compared = search if any(key in lost for key in search) else list(ours)
    wrong = [key for key in compared if key not in lost and theirs.get(key) != ours[key]]
    if wrong:
        return f"trials {wrong} ended otherwise"
    if lost:
        return None
    if (whole / "best.toml").read_bytes() != (other / "best.toml").read_bytes():
        return "best.toml differs"
    return None if answer(whole) == answer(other) else "recommendation.json differs"


def ends(run: Path) -> dict[tuple[str, int], Any]:
    """How every trial ended at last."""
    records = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    return {(record["stage"], record["trial"]): [record[name] for name in SAME] for record in records}


def given_up(run: Path) -> list[tuple[str, int]]:
    """Trials that lost their workers twice."""
    return [key for key, (state, *_) in ends(run).items() if state == "fail"]


def answer(run: Path) -> dict[str, Any]:
    """The answer without times, and without how often a trial was run."""
    document = json.loads((run / "recommendation.json").read_text())
    document["trials"].pop("retried")
    document["cost"].pop("wall_seconds")
    return dict(document)


def queue_problem(run: Path) -> str | None:
    """What is wrong with the studies in the database of a finished run: one end for every trial, nothing left."""
    with quietly():
        storage = RDBStorage(local_url(run), engine_kwargs={"poolclass": NullPool}, skip_table_creation=True)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    for study in studies:
        for slot, attempts in by_slot(study.trials).items():
            states = [trial.state for trial in attempts]
            whole = states.count(TrialState.COMPLETE)
            if whole > 1 or any(not state.is_finished() for state in states) or (whole == 0 and len(states) < 2):
                return f"{study.study_name}, slot {slot}: {[state.name for state in states]}"
    return None
