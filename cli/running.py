"""What the training verbs share: watching a run, going on with one, printing its answer."""

import json as json_text
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from depthprobe.cli.answer import print_answer, print_summary
from depthprobe.cli.live import LiveView, PlainView, Watcher
from depthprobe.cli.saying import answering, say
from depthprobe.cli.tuned import continue_tune, finish_tune
from depthprobe.errors import DepthprobeError, RunFolderError
from depthprobe.probes.listener import Listener
from depthprobe.runs import RunFolder


@contextmanager
def watch(*, quiet: bool) -> Iterator[Watcher]:
    """A live view on a terminal, plain lines elsewhere, nothing when quiet; all on stderr.

    A run that is interrupted says how to go on in its last line. Raises DepthprobeError, with the same, when memory
    does not suffice, or when something else than the progress is printed and nobody reads.
    """
    watcher = Watcher() if quiet else LiveView() if sys.stderr.isatty() else PlainView()
    try:
        with watcher:
            yield watcher
    except KeyboardInterrupt:
        _say_interrupted(watcher.folder)
        raise
    except BrokenPipeError as error:
        raise DepthprobeError(
            "the run printed something, and nobody reads", where=str(watcher.folder or "before there is a run"),
            expected="output that is read to its end", hint=_resume(watcher.folder),
        ) from error  # fmt: skip
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        raise DepthprobeError(
            "out of memory", where=str(watcher.folder or "before there is a run"),
            found=str(error) or type(error).__name__,
            expected="room for one batch: end other programs and go on, or start anew with a smaller --batch-size",
            hint=_resume(watcher.folder),
        ) from error  # fmt: skip


def _say_interrupted(folder: Path | None) -> None:
    resume = _resume(folder)
    say(f"interrupted; go on with:\n{resume}" if resume else "interrupted")


def _resume(folder: Path | None) -> str | None:
    """What to type to go on, once there is something to go on with."""
    return f"depthprobe resume {shlex.quote(str(folder))}" if folder is not None and folder.exists() else None


def _is_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out: Python's, the GPU's, or that of torch on the CPU, a plain RuntimeError."""
    said = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def finish_probe(result: Any, *, json: bool) -> None:
    """Write the report, then the answer on stdout. Raises DepthprobeError when the page cannot be written."""
    page = result.folder / "report.html"
    _write_page(result.folder, page)
    _answer(result.recommendation, page, json=json)


def _answer(recommendation: Any, page: Path, *, json: bool) -> None:
    with answering():
        if json:
            print(json_text.dumps(recommendation.to_json(), indent=2))
        else:
            print_answer(recommendation, page)


def finish_train(folder: Path, summary: dict[str, Any], *, json: bool) -> None:
    """The summary of one training on stdout."""
    with answering():
        if json:
            print(json_text.dumps(summary, indent=2))
        else:
            print_summary(folder, summary)


def run_new(
    command: str, set_up: Callable[[], Any], create: Callable[[Any], RunFolder], *, json: bool, quiet: bool
) -> None:
    """Set up, create the folder, run, print the answer; of several processes the others follow the first, silently."""
    from depthprobe.probes.crew import check_means
    from depthprobe.probes.together import lead, open_team, telling
    from depthprobe.probes.tracking import tracked

    team = open_team()
    if not team.first:
        _follow(team)
        return
    _, run = _verbs(command)
    with telling(team):
        resolved = set_up()
        check_means(resolved, team)
    with watch(quiet=quiet) as watcher:
        setup, folder = lead(team, lambda: (resolved, create(resolved)))
        watcher.folder = folder.path
        with folder, tracked(setup, folder.path, folder.config, watcher) as listener:
            result = run(setup, folder, listener)
    _finish(folder.path, command, result, json=json)


def continue_run(path: Path, verb: str | None, *, json: bool, quiet: bool) -> None:
    """Go on with an interrupted run of `verb` (None: of any), or say that it is finished."""
    from depthprobe.probes.together import open_team, telling

    team = open_team()
    if not team.first:
        _follow(team)
        return
    with telling(team):
        folder = RunFolder.open(path, write=True)
    with folder:
        command = folder.config["command"]
        with telling(team):
            if verb not in (None, command):
                raise RunFolderError(
                    f"this is a run of {command}, not of {verb}", where=str(path), hint=f"depthprobe resume {path}"
                )
            if command == "tune" and team.size > 1:
                raise RunFolderError("a study is not run by torchrun", where=str(path), hint="depthprobe worker STUDY")
        if folder.finished:
            team.tell(None)
            _finished(folder, command, json)
        elif command == "tune":
            continue_tune(folder, json=json, quiet=quiet)
        else:
            _continue(folder, command, team, json=json, quiet=quiet)


def _continue(folder: RunFolder, command: str, team: Any, *, json: bool, quiet: bool) -> None:
    from depthprobe.probes.together import lead, telling
    from depthprobe.probes.tracking import tracked

    with telling(team):
        folder.check_config()
    reopen, run = _verbs(command)
    with watch(quiet=quiet) as watcher:
        watcher.folder = folder.path
        setup, _ = lead(team, lambda: (_reopened(reopen, folder), folder))
        with tracked(setup, folder.path, folder.config, watcher) as listener:
            result = run(setup, folder, listener)
    _finish(folder.path, command, result, json=json)


def _follow(team: Any) -> None:
    """Train what the first process trains, and leave the rest to it."""
    from depthprobe.probes.together import follow

    followed = follow(team, lambda folder, config: _verbs(config["command"])[0](folder))
    if followed is not None:
        setup, folder = followed
        _verbs(folder.config["command"])[1](setup, folder, Listener())


def _finish(folder: Path, command: str, result: Any, *, json: bool) -> None:
    if command == "train":
        finish_train(folder, result, json=json)
    else:
        finish_probe(result, json=json)


def _reopened(reopen: Callable[[RunFolder], Any], folder: RunFolder) -> Any:
    """The setup of an interrupted run. Raises RunFolderError for a config.json that depthprobe has not written."""
    try:
        return reopen(folder)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            "config.json does not describe a run", where=str(folder.path), expected="the file as it was written",
            found=f"{type(error).__name__}: {error}", hint="start a new run",
        ) from error  # fmt: skip


def _verbs(command: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """How a run of `command` is opened again, and how it is carried on."""
    if command == "train":
        from depthprobe.probes.train import reopen_training, run_training

        return reopen_training, run_training
    if command == "shrink":
        from depthprobe.probes.shrink import reopen_shrink, run_shrink

        return reopen_shrink, run_shrink
    if command == "width":
        from depthprobe.probes.width import reopen_width, run_width

        return reopen_width, run_width
    from depthprobe.probes.grow import reopen, run_grow

    return reopen, run_grow


def _finished(folder: RunFolder, command: str, json: bool) -> None:
    say(f"{folder.path} is finished already")
    if command == "train":
        finish_train(folder.path, folder.read_json("summary.json"), json=json)
        return
    if command == "tune":
        finish_tune(folder.path, folder.read_json("recommendation.json"), json=json)
        return
    from depthprobe.probes.result import load_recommendation

    recommendation = load_recommendation(folder.path)
    page = folder.path / "report.html"
    if not page.exists():
        _write_page(folder.path, page)
    _answer(recommendation, page, json=json)


def _write_page(folder: Path, page: Path) -> None:
    """The report of a finished run. Raises DepthprobeError: the answer is there, to be had by resuming."""
    from depthprobe.reports import write_report

    try:
        write_report([folder], page)
    except RunFolderError as error:
        raise DepthprobeError(error.what, where=error.where, found=error.found, hint=_resume(folder)) from error
    except KeyboardInterrupt:
        _say_interrupted(folder)
        raise
