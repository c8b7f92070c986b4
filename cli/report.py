"""depthprobe report: the HTML page of finished runs, anew."""

from pathlib import Path
from typing import Annotated

import typer

from depthprobe.errors import ConfigError


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of grow")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The page to write (default: RUN/report.html)", show_default=False),
    ] = None,
) -> None:
    """Write the HTML report of one run (into its folder) or of several (needs --out)."""
    if out is None and len(runs) > 1:
        raise ConfigError("several runs need a page of their own", where="--out", hint="--out comparison.html")
    if out is not None and out.exists():
        raise ConfigError("the page exists already", where=str(out), expected="a new file: nothing is overwritten")
    from depthprobe.reports import write_report

    target = out or runs[0] / "report.html"
    write_report(runs, target)
    print(target)
