"""depthprobe resume: go on with an interrupted run, bit for bit."""

from pathlib import Path
from typing import Annotated

import typer

from depthprobe.cli import options as o


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder")],
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Go on with an interrupted run; a finished one prints its answer."""
    from depthprobe.cli.running import continue_run

    continue_run(run, None, json=json, quiet=quiet)
