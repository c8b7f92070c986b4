"""What the training verbs share: watching a run, going on with one, printing its answer."""

import json as json_text
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from depthprobe.cli.answer import print_answer, print_summary
from depthprobe.cli.live import LiveView, PlainView, Watcher
from depthprobe.cli.tuned import continue_tune, finish_tune
from depthprobe.errors import RunFolderError
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


def continue_run(path: Path, verb: str | None, *, json: bool, quiet: bool) -> None:
    """Go on with an interrupted run of `verb` (None: of any), or say that it is finished."""
    with RunFolder.open(path, write=True) as folder:
        command = folder.config["command"]
        if verb not in (None, command):
            raise RunFolderError(
                f"this is a run of {command}, not of {verb}", where=str(path), hint=f"depthprobe resume {path}"
            )
        if folder.finished:
            _finished(folder, command, json)
        elif command == "train":
            _continue_training(folder, json, quiet)
        elif command == "shrink":
            _continue_shrink(folder, json, quiet)
        elif command == "width":
            _continue_width(folder, json, quiet)
        elif command == "tune":
            continue_tune(folder, json=json, quiet=quiet)
        else:
            _continue_grow(folder, json, quiet)


def _continue_training(folder: RunFolder, json: bool, quiet: bool) -> None:
    from depthprobe.probes.train import reopen_training, run_training

    setup = reopen_training(folder)
    with watch(quiet=quiet) as watcher:
        watcher.folder = folder.path
        summary = run_training(setup, folder, watcher)
    finish_train(folder.path, summary, json=json)


def _continue_grow(folder: RunFolder, json: bool, quiet: bool) -> None:
    from depthprobe.probes.grow import reopen, run_grow

    setup = reopen(folder)
    with watch(quiet=quiet) as watcher:
        watcher.folder = folder.path
        result = run_grow(setup, folder, watcher)
    finish_probe(result, json=json)


def _continue_shrink(folder: RunFolder, json: bool, quiet: bool) -> None:
    from depthprobe.probes.shrink import reopen_shrink, run_shrink

    setup = reopen_shrink(folder)
    with watch(quiet=quiet) as watcher:
        watcher.folder = folder.path
        result = run_shrink(setup, folder, watcher)
    finish_probe(result, json=json)


def _continue_width(folder: RunFolder, json: bool, quiet: bool) -> None:
    from depthprobe.probes.width import reopen_width, run_width

    setup = reopen_width(folder)
    with watch(quiet=quiet) as watcher:
        watcher.folder = folder.path
        result = run_width(setup, folder, watcher)
    finish_probe(result, json=json)


def _finished(folder: RunFolder, command: str, json: bool) -> None:
    print(f"{folder.path} is finished already", file=sys.stderr)
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
        from depthprobe.reports import write_report

        write_report([folder.path], page)
    if json:
        print(json_text.dumps(recommendation.to_json(), indent=2))
    else:
        print_answer(recommendation, page)
