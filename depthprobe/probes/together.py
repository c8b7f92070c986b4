"""A run by several processes: the first one sets up, decides and writes; the others train with it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from depthprobe.errors import ConfigError, DepthprobeError, ProcessError, RunFolderError
from depthprobe.probes.answer import Recommendation
from depthprobe.probes.result import Result
from depthprobe.runs import RunFolder
from depthprobe.training.team import Team, may_speak, open_team

__all__ = ["FollowerFolder", "answer", "decide", "follow", "lead", "may_speak", "open_team", "restore", "telling"]

S = TypeVar("S")
T = TypeVar("T")


class FollowerFolder(RunFolder):
    """What all but the first process have for a run folder: settings and records in memory; nothing is written."""

    def __init__(self, path: Path, config: dict[str, Any], records: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(path)
        self._config = config
        self._kept: list[dict[str, Any]] = list(records)

    @property
    def config(self) -> dict[str, Any]:
        """As the first process wrote it."""
        return self._config

    def begin(self, records: list[dict[str, Any]]) -> None:
        """Go on from the records that the first process has."""
        self._kept = list(records)

    def append(self, record: dict[str, Any]) -> None:
        """Remember a record: what an arm measured decides how it goes on."""
        self._kept.append(record)

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, in order."""
        return iter(list(self._kept))

    def save(self, payload: dict[str, Any]) -> None:
        """Left to the first process."""

    def restore(self) -> dict[str, Any]:
        """Raises ProcessError: a checkpoint cuts the records on disk, and the first process tells what it found."""
        raise ProcessError("only the first of several processes goes back to a checkpoint", where=str(self.path))

    def write_json(self, name: str, document: Any) -> None:
        """Left to the first process."""

    def write_text(self, name: str, text: str) -> None:
        """Left to the first process."""

    def write_torch(self, name: str, payload: dict[str, Any]) -> str:
        """Left to the first process."""
        return ""

    def keep(self, name: str, payload: dict[str, Any], seed: int, begun: dict[str, Any]) -> None:
        """Left to the first process; what it kept can be read."""


def lead(team: Team, open_run: Callable[[], tuple[S, RunFolder]]) -> tuple[S, RunFolder]:
    """In the first process: setup and folder of a run, and the others are told of it, or of what is wrong with it."""
    with telling(team):
        setup, folder = open_run()
    if team.size > 1:
        team.tell((folder.path, folder.config, list(folder.records())))
    return join_team(setup, team), folder


@contextmanager
def telling(team: Team) -> Iterator[None]:
    """In the first process: what is raised on purpose is raised in the others too, which wait in `follow`."""
    try:
        yield
    except DepthprobeError as error:
        team.tell(error)
        raise


def follow(team: Team, reopen: Callable[[RunFolder, dict[str, Any]], S]) -> tuple[S, RunFolder] | None:
    """In the others: the same from what they are told; None where there is nothing to do. Raises what the first raised.

    reopen: (folder, its config) -> setup.
    """
    told: Any = team.tell(None)
    if told is None:
        return None
    if isinstance(told, DepthprobeError):
        raise told
    folder = FollowerFolder(*told)
    return join_team(reopen(folder, folder.config), team), folder


def join_team(setup: S, team: Team) -> S:
    """The setup of a probe, or of a training, that all processes work on."""
    changed: Any = setup
    if hasattr(setup, "bench"):
        return replace(changed, bench=replace(changed.bench, team=team))  # type: ignore[no-any-return]
    return replace(changed, team=team)  # type: ignore[no-any-return]


def restore(folder: RunFolder, team: Team) -> dict[str, Any]:
    """The newest checkpoint of the run, in every process, and the records up to there."""
    if team.size == 1:
        return folder.restore()
    payload, records = team.tell((folder.restore(), list(folder.records())) if team.first else ({}, []))
    if isinstance(folder, FollowerFolder):
        folder.begin(records)
    return payload


def decide(team: Team, choose: Callable[[], T]) -> T:
    """What the first process chooses, in all of them; what it raises on purpose, they raise too."""
    if team.size == 1:
        return choose()
    outcome = team.tell(_attempt(choose) if team.first else None)
    if isinstance(outcome, DepthprobeError):
        raise outcome
    return outcome  # type: ignore[return-value]


def _attempt(choose: Callable[[], T]) -> T | DepthprobeError:
    try:
        return choose()
    except DepthprobeError as error:
        return error


class SharedResult(Result):
    """The answer in all but the first process, which alone holds the network."""

    def __init__(self, folder: Path, recommendation: Recommendation) -> None:
        self.folder, self.recommendation = folder, recommendation

    def __getattr__(self, name: str) -> Any:
        if name != "model":
            raise AttributeError(name)
        raise RunFolderError(
            "only the first of several processes holds the network", where="result.model", hint="its model.pt has it"
        )


def answer(team: Team, folder: RunFolder, conclude: Callable[[], Result]) -> Result:
    """The result that the first process concludes; the others have its recommendation."""
    if team.size == 1:
        return conclude()
    results: list[Result] = []

    def conclude_once() -> Recommendation:
        results.append(conclude())
        return results[0].recommendation

    recommendation = decide(team, conclude_once)
    return results[0] if results else SharedResult(folder.path, recommendation)


def check_same(mine: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Raise ConfigError when processes that set up by themselves chose differently."""
    here, there = _settled(mine), _settled(first)
    other = [key for key in here if here[key] != there.get(key)]
    if other:
        raise ConfigError(
            "the processes chose differently: they must train the same",
            where=", ".join(other),
            hint="pass steps, seeds and lr, and no time_budget",
        )


def _settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is about, as JSON has it; how long choosing took is not."""
    kept = {key: value for key, value in config.items() if not key.endswith(("_seconds", "_note"))}
    return dict(json.loads(json.dumps(kept)))
