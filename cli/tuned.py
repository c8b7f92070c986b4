"""What tune does once its options are read: the study begun or taken up, told as it goes, its answer printed."""

import json as json_text
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthprobe.cli.saying import answering, say
from depthprobe.counting import number_of
from depthprobe.runs import RunFolder

if TYPE_CHECKING:
    from depthprobe.tuning.setup import TuneSetup


def begin_tune(
    model: Any,
    source: Any,
    configs: Mapping[str, dict[str, Any]],
    space: Path | None,
    storage: str | None,
    study: str,
    out: Path,
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Set up, create the run folder and run the study. configs: "train", "grow" and "tune" settings."""
    from depthprobe.config import GrowConfig, TrainConfig
    from depthprobe.tuning.config import TuneConfig
    from depthprobe.tuning.setup import create_tuning, set_up_tuning
    from depthprobe.tuning.space import read_space
    from depthprobe.tuning.storage import OWN, open_storage, resolve_url, without_password
    from depthprobe.tuning.study import check_name, refuse_taken

    tune = TuneConfig.from_json(configs["tune"])
    grow, train = GrowConfig.from_json(configs["grow"]), TrainConfig.from_json(configs["train"])
    changes = read_space(space) if space is not None else {}
    check_name(study)
    shown = OWN if storage is None else without_password(storage)
    url = storage or resolve_url(shown, out)
    setup = set_up_tuning(
        model, source, grow, train, tune, changes, study=study, storage=shown, typed=frozenset(configs["train"])
    )
    if storage is not None:
        refuse_taken(setup, open_storage(url, tune.heartbeat))
    with create_tuning(setup, out, storage if shown != storage else None) as folder:
        _run(setup, folder, url, json=json, quiet=quiet)


def continue_tune(folder: RunFolder, *, json: bool, quiet: bool) -> None:
    """Take up an interrupted study."""
    from depthprobe.tuning.setup import reopen_tuning
    from depthprobe.tuning.storage import resolve_url

    folder.check_config()
    setup = reopen_tuning(folder)
    _run(setup, folder, resolve_url(setup.storage, folder.path), json=json, quiet=quiet)


def _run(setup: "TuneSetup", folder: RunFolder, url: str, *, json: bool, quiet: bool) -> None:
    from depthprobe.cli.running import watch
    from depthprobe.tuning.storage import reporting_storage
    from depthprobe.tuning.tune import run_tune

    tell = _teller(setup, quiet)
    with watch(quiet=True) as watcher, reporting_storage(url, folder.resume_command):
        watcher.folder = folder.path  # it says how to go on; the trials are told by `tell`
        answer = run_tune(setup, folder, url, tell)
    finish_tune(folder.path, answer, json=json)


def _teller(setup: "TuneSetup", quiet: bool) -> Callable[[dict[str, Any], int], None]:
    """Says what will be done, then a line for every trial that ends, on stderr."""
    from depthprobe.tuning.tune import forecast_study

    if quiet:
        return lambda record, total: None
    trainings, seconds = forecast_study(setup)
    about = "" if seconds is None else f", about {seconds / 60:.2g} minutes on one worker"
    for line in (setup.base.lr_note, *(f"note: {note}" for note in setup.notes)):
        say(line)
    fresh = number_of(setup.config.confirm_seeds, "fresh seed")
    say(
        f"{setup.config.trials} trials of {setup.budget.updates:,} updates up to {setup.bench.plan.depths[-1]} layers, "
        f"then {fresh} of the best and the default: {trainings:.1f} trainings of the deepest{about}"
    )
    return lambda record, total: say(trial_line(record, total))


def trial_line(record: Mapping[str, Any], total: int) -> str:
    """One trial that ended, in words."""
    took = "" if record["took_seconds"] is None else f", {record['took_seconds']:.0f} s"
    value = f"{record['values'][0]:.4f}" if record["values"] and record["state"] == "complete" else _ended(record)
    cost = "" if record["cost"] is None else f", cost {record['cost']:.2f}"
    if record["stage"] == "confirm":
        return f"confirming {record['trial'] + 1} of {total}: trial {record['of']} on a fresh seed: {value}{took}"
    return f"trial {record['trial']} of {total}{' (the default)' if record['trial'] == 0 else ''}: {value}{cost}{took}"


def _ended(record: Mapping[str, Any]) -> str:
    """How a trial ended that has no value."""
    return (
        f"failed ({record['failed']})"
        if record["failed"]
        else str({"fail": "lost"}.get(record["state"], record["state"]))
    )


def finish_tune(folder: Path, answer: Mapping[str, Any], *, json: bool) -> None:
    """Write the report, then the answer on stdout."""
    from depthprobe.reports import write_report

    page = folder / "report.html"
    write_report([folder], page)
    with answering():
        if json:
            print(json_text.dumps(answer, indent=2))
        else:
            _print(folder, answer, page)


def _print(folder: Path, answer: Mapping[str, Any], page: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(answer["sentence"], style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("schedule", f"{answer['metric']} on fresh seeds", "gain", "in the search", "cost"):
        table.add_column(Text(name), justify="left" if name == "schedule" else "right", no_wrap=name == "gain")
    for row in answer["confirmed"]:
        table.add_row(*(Text(cell) for cell in _cells(row)), style="bold" if row == answer["best"] else None)
    console.print(table)
    shares = list(answer["importance"]["values"].items())[:5]
    lines = [
        *(["what matters: " + ", ".join(f"{name} {share:.0%}" for name, share in shares)] if shares else []),
        f"best schedule: {folder / answer['config_file']} (grow --config takes it)",
        f"cost: {answer['cost']['trainings']} trainings of the deepest network, {answer['cost']['wall_seconds']:.0f} s",
        *(f"note: {note}" for note in answer["notes"]),
        f"report: {page}",
    ]
    for line in lines:
        console.print(Text(line))


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    gain = row["gain"]
    name = "default" if row["trial"] == 0 else f"trial {row['trial']}"
    nothing = "diverged" if row["values"] else "lost"
    shown = nothing if row["value"] is None else f"{row['value']:.3f}"
    between = "" if gain is None else f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
    searched = "" if row["searched"] is None else f"{row['searched']:.3f}"
    return name, shown, between, searched, f"{row['cost']:.2f}"
