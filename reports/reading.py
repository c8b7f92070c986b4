"""A finished run folder as plain values. Reads JSON only, so that a report needs no torch."""

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from depthprobe.analysis.budgets import UNMET
from depthprobe.analysis.units import Units
from depthprobe.counting import number_of
from depthprobe.errors import RunFolderError

SCHEMAS = (1, 2)
PROBES = ("grow", "shrink", "width")
COMMANDS = (*PROBES, "train", "tune")
FRACTIONS = ("accuracy", "top5")  # a training does not say which metrics are shares of the examples


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a report is made from: the JSON files of a run folder, and its records by kind. recommendation: of a
    training its summary; records: those of the answer; everything: with those of arms at other learning rates and of
    trainings from scratch.
    """

    path: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    recommendation: dict[str, Any]
    records: tuple[dict[str, Any], ...]
    everything: tuple[dict[str, Any], ...]

    @property
    def command(self) -> str:
        """The verb that made it."""
        return str(self.config["command"])

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the probe."""
        return dict(self.config[self.command])

    @property
    def seeds(self) -> list[int]:
        """The seeds; a training has one."""
        found = self.recommendation["seeds"] if self.command in PROBES else [self.config["training"]["seed"]]
        return [int(seed) for seed in found]

    @property
    def units(self) -> Units:
        """How values of its metric are written; runs of version 0.1 measured accuracy only."""
        answer, metric = self.recommendation, str(self.recommendation["metric"])
        if self.command not in PROBES:
            return Units(metric=metric, fraction=metric in FRACTIONS)
        return Units(metric=metric, fraction=bool(answer.get("fraction", True)), tolerance=float(answer["tolerance"]))

    def of(self, kind: str, **facts: Any) -> list[dict[str, Any]]:
        """Records of one kind ("trace", "measurement", "failure"), those that agree with `facts`."""
        return [r for r in self._by_kind.get(kind, ()) if all(r[key] == value for key, value in facts.items())]

    def traces(self, seed: int, arm: str) -> list[dict[str, Any]]:
        """Trace records of one training, in order."""
        return self._traces.get((seed, arm), [])

    def arms(self, seed: int) -> list[str]:
        """The trainings of a seed, in the order they were begun; those from scratch (--verify) are the last."""
        return [arm for known, arm in self._traces if known == seed]

    @cached_property
    def _by_kind(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.records:
            found.setdefault(record["kind"], []).append(record)
        return found

    @cached_property
    def _traces(self) -> dict[tuple[int, str], list[dict[str, Any]]]:
        found: dict[tuple[int, str], list[dict[str, Any]]] = {}
        for record in self.everything:
            if record["kind"] == "trace" and "rate" not in record:
                found.setdefault((record["seed"], record["arm"]), []).append(record)
        return found


def read_run(path: Path) -> Run:
    """Read a finished run. Raises RunFolderError: no run folder, another format, unfinished, or damaged."""
    config = _read_config(path)
    records = _read_records(path)
    answer = "summary.json" if config["command"] == "train" else "recommendation.json"
    if not (path / answer).exists():
        failures = "; ".join(f"seed {r.get('seed')}: {r.get('what')}" for r in records if r["kind"] == "failure")
        raise RunFolderError(
            "this run is not finished",
            where=str(path),
            expected=f"{answer}, the last file of a run",
            found=failures or number_of(len(records), "record"),
            hint=f"depthprobe resume {shlex.quote(str(path))}",
        )
    return Run(
        path=path,
        config=config,
        environment=_read_object(path, "environment.json"),
        recommendation=_read_object(path, answer),
        records=tuple(r for r in records if _of_the_answer(r)),
        everything=tuple(records),
    )


def _of_the_answer(record: dict[str, Any]) -> bool:
    """Not of an arm at another rate than the main one, which carries it, nor of a training from scratch (--verify)."""
    return "rate" not in record and not str(record.get("arm", "")).startswith("verify")


def _read_config(path: Path) -> dict[str, Any]:
    if not (path / "config.json").exists():
        raise RunFolderError(
            f"{path} is not a run folder",
            expected="a folder with config.json, as depthprobe grow makes them",
            found="no config.json" if path.is_dir() else "a file" if path.exists() else "no such folder",
            hint="ls runs/",
        )
    config = _read_object(path, "config.json")
    if config.get("schema") not in SCHEMAS:
        found = str(config.get("schema"))
        raise RunFolderError(
            "this run folder has another format",
            where=str(path),
            expected=f"schema {' or '.join(map(str, SCHEMAS))}",
            found=found,
            hint="pip install --upgrade depthprobe" if isinstance(config.get("schema"), int) else None,
        )
    if config.get("command") not in COMMANDS:
        raise RunFolderError(
            "there is no report for this kind of run",
            where=str(path),
            expected=" or ".join(f"a run of depthprobe {command}" for command in COMMANDS),
            found=f"a run of depthprobe {config.get('command')}",
        )
    return config


def _read_object(path: Path, name: str) -> dict[str, Any]:
    try:
        document = json.loads((path / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, name, str(error)) from error
    if not isinstance(document, dict):
        raise damaged(path, name, f"a {type(document).__name__} instead of an object")
    return document


def _read_records(path: Path) -> list[dict[str, Any]]:
    """All whole records; a torn last line is left out, as a resumed run would."""
    name = "records.jsonl"
    try:
        lines = (path / name).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, ValueError) as error:
        raise damaged(path, name, str(error)) from error
    try:
        records = json.loads(f"[{','.join(lines)}]")  # at once: faster than line by line
    except (ValueError, RecursionError) as error:
        raise damaged(path, _broken(lines), str(error)) from error
    if not all(isinstance(record, dict) and "kind" in record for record in records):
        raise damaged(path, name, "a record without a kind")
    return list(records)


def _broken(lines: list[str]) -> str:
    """The place of the first line that is no JSON."""
    for number, line in enumerate(lines, 1):
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            return f"records.jsonl, line {number}"
    return "records.jsonl"


def damaged(path: Path, name: str, found: str) -> RunFolderError:
    """The error for a file of a run folder that is missing or does not hold what it should."""
    return RunFolderError(
        f"{name} is missing or damaged",
        where=str(path),
        found=found,
        hint=f"depthprobe resume {shlex.quote(str(path))}",
    )


def is_unmet(sentence: str) -> bool:
    """Whether no network met the budget."""
    return UNMET in sentence


def by_budget(sentence: str) -> bool:
    """Whether a budget decided, and not the rule: the answer's sentence begins with it."""
    return sentence.startswith("Within --")
