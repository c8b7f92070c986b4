"""What the training verbs share: watching a run, going on with one, printing its answer."""

import json as json_text
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthprobe.cli.answer import print_answer, print_summary
from depthprobe.cli.live import LiveView, PlainView, Watcher
from depthprobe.errors import DepthprobeError, RunFolderError
from depthprobe.probes.listener import Listener
from depthprobe.runs import RunFolder


@contextmanager
def watch(*, quiet: bool) -> Iterator[Watcher]:
    """A live view on a terminal, plain lines elsewhere, nothing when quiet; all on stderr."""
    watcher = Watcher() if quiet else LiveView() if sys.stderr.isatty() else PlainView()
    try:
        with watcher:
            yield watcher
    except KeyboardInterrupt:
        if watcher.folder is not None and watcher.folder.exists():
            print(f"go on with: depthprobe resume {watcher.folder}", file=sys.stderr)
        raise


def finish_probe(result: Any, *, json: bool) -> None:
    """Write the report, then the answer on stdout."""
    from depthprobe.reports import write_report

    page = result.folder / "report.html"
    write_report([result.folder], page)
    if json:
        print(json_text.dumps(result.recommendation.to_json(), indent=2))
    else:
        print_answer(result.recommendation, page)


def finish_train(folder: Path, summary: dict[str, Any], *, json: bool) -> None:
    """The summary of one training on stdout."""
    if json:
        print(json_text.dumps(summary, indent=2))
    else:
        print_summary(folder, summary)


def run_probe(
    set_up: Callable[[], Any],
    create: Callable[[Any], RunFolder],
    reopen: Callable[[RunFolder], Any],
    run: Callable[[Any, RunFolder, Listener], Any],
    *,
    quiet: bool,
) -> Any:
    """Set up, create the folder and run, watched; the others of several processes follow the first, silently.

    Returns what `run` returns, in the first process; None in the others.
    """
    from depthprobe.probes.together import follow, lead, open_team

    team = open_team()
    if not team.first:
        followed = follow(team, lambda folder, _: reopen(folder))
        if followed is not None:
            run(*followed, Listener())
        return None

    def open_run() -> tuple[Any, RunFolder]:
        setup = set_up()
        return setup, create(setup)

    with watch(quiet=quiet) as listener:
        setup, folder = lead(team, open_run)
        listener.folder = folder.path
        with folder:
            return run(setup, folder, listener)


def continue_run(path: Path, verb: str | None, *, json: bool, quiet: bool) -> None:
    """Go on with an interrupted run of `verb` (None: of any), or say that it is finished."""
    from depthprobe.probes.together import follow, lead, open_team

    team = open_team()
    if not team.first:
        followed = follow(team, lambda folder, config: _home(config["command"]).reopen(folder))
        if followed is not None:
            setup, folder = followed
            _home(folder.config["command"]).run(setup, folder, Listener())
        return
    with _open_to_go_on(path, verb, team) as folder:
        command = folder.config["command"]
        if folder.finished:
            team.tell(None)
            _finished(folder, command, json)
            return
        home = _home(command)
        setup, _ = lead(team, lambda: (home.reopen(folder), folder))
        with watch(quiet=quiet) as watcher:
            watcher.folder = folder.path
            result = home.run(setup, folder, watcher)
        if command == "train":
            finish_train(folder.path, result, json=json)
        else:
            finish_probe(result, json=json)


def _open_to_go_on(path: Path, verb: str | None, team: Any) -> RunFolder:
    """The folder of a run of `verb`; the other processes are told what is wrong with it."""
    try:
        folder = RunFolder.open(path, write=True)
        if verb not in (None, folder.config["command"]):
            command = folder.config["command"]
            folder.close()
            raise RunFolderError(
                f"this is a run of {command}, not of {verb}", where=str(path), hint=f"depthprobe resume {path}"
            )
    except DepthprobeError as error:
        team.tell(error)
        raise
    return folder


@dataclass(frozen=True)
class _Home:
    """How runs of one verb are taken up again."""

    reopen: Callable[[RunFolder], Any]
    run: Callable[[Any, RunFolder, Listener], Any]


def _home(command: str) -> _Home:
    if command == "train":
        from depthprobe.probes.train import reopen_training, run_training

        return _Home(reopen_training, run_training)
    if command == "shrink":
        from depthprobe.probes.shrink import reopen_shrink, run_shrink

        return _Home(reopen_shrink, run_shrink)
    if command == "width":
        from depthprobe.probes.width import reopen_width, run_width

        return _Home(reopen_width, run_width)
    from depthprobe.probes.grow import reopen, run_grow

    return _Home(reopen, run_grow)


def _finished(folder: RunFolder, command: str, json: bool) -> None:
    print(f"{folder.path} is finished already", file=sys.stderr)
    if command == "train":
        finish_train(folder.path, folder.read_json("summary.json"), json=json)
        return
    from depthprobe.probes.result import load_recommendation

    recommendation = load_recommendation(folder.path)
    page = folder.path / "report.html"
    if not page.exists():
        from depthprobe.reports import write_report

        write_report([folder.path], page)
    if json:
        print(json_text.dumps(recommendation.to_json(), indent=2))
    else:
        print_answer(recommendation, page)
