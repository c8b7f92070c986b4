"""depthprobe worker: pull trials of a study that lives in a database, on any machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from depthprobe.cli import options as o
from depthprobe.counting import number_of
from depthprobe.errors import ConfigError

PATIENCE_SECONDS = 120.0


def worker(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study, or the run folder of tune")],
    storage: o.StudyPlace = None,
    model: o.ModelHere = None,
    data_dir: o.DataDir = None,
    out: o.WorkerOut = None,
    quiet: o.Quiet = False,
) -> None:
    """Run trials of a study until none is left; as many workers as you like, on as many machines."""
    from depthprobe.inputs import open_model
    from depthprobe.tuning.setup import study_setup
    from depthprobe.tuning.storage import open_storage, parse_url, reporting_storage
    from depthprobe.tuning.study import PLACE, checkpoints_here, read_study
    from depthprobe.tuning.workers import work

    name, url, folder = _find(study, storage)
    shown = parse_url(url).render_as_string(hide_password=True)
    document = read_study(name, open_storage(url, 1, create=False), shown)
    database = open_storage(url, document["tune"]["heartbeat"])
    setup = study_setup(document, model=open_model(model) if model else None, data_dir=data_dir)
    # The study's own where they are on this machine: a trial goes on from what another worker left there.
    here = folder / PLACE if folder is not None else checkpoints_here(name, database)
    place = out or here or Path("runs") / f"worker-{name}"
    if not quiet:
        print(f"study {name} at {shown}; checkpoints in {place}", file=sys.stderr, flush=True)
    with reporting_storage(url):
        done = work(setup, database, place, patience=PATIENCE_SECONDS)
    if not quiet:
        print(f"{number_of(done, 'trial')} run here; none is left", file=sys.stderr)


def _find(study: str, storage: str | None) -> tuple[str, str, Path | None]:
    """Name and URL of the study, and the run folder where that is what was named."""
    if storage is not None:
        return study, storage, None
    if not (Path(study) / "config.json").is_file():
        raise ConfigError(
            "no storage was named", where="--storage", expected="a SQLAlchemy URL, or the run folder of tune as STUDY",
            found=study, hint=f"depthprobe worker {study} --storage postgresql+psycopg://HOST/DATABASE",
        )  # fmt: skip
    from depthprobe.runs import RunFolder
    from depthprobe.tuning.storage import resolve_url

    config = RunFolder.open(Path(study)).config
    if config["command"] != "tune":
        raise ConfigError(f"{study} is a run of {config['command']}", where="STUDY", expected="a run of tune")
    return config["study"], resolve_url(config["storage"], Path(study)), Path(study)
