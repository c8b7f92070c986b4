"""depthprobe report: finished runs as a page, on the terminal, or all their records as a table."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from depthprobe.errors import ConfigError


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of grow, shrink, width or train")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The page to write (default: RUN/report.html)", show_default=False),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the report here instead; writes nothing")] = False,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Also write every record, as a table", show_default=False),
    ] = None,
) -> None:
    """Write the HTML report of one run (into its folder) or of several, compared (--out); or print it (--text)."""
    if text and out is not None:
        raise ConfigError("--text prints, it writes no page", where="--out", hint="leave out --text or --out")
    if out is None and len(runs) > 1 and not text:
        raise ConfigError(
            "several runs need a page of their own", where="--out", hint="--out comparison.html, or --text"
        )
    for option, path in (("page", out), ("table", csv)):
        if path is not None and path.exists():
            raise ConfigError(
                f"the {option} exists already", where=str(path), expected="a new file: nothing is overwritten"
            )
    if csv is not None:
        from depthprobe.reports import read_runs
        from depthprobe.reports.records_csv import write_records

        write_records(read_runs(runs), csv)
        print(csv, file=sys.stderr if text else sys.stdout)
    if text:
        _print(runs)
        return
    from depthprobe.reports import write_report

    target = out or runs[0] / "report.html"
    write_report(runs, target)
    print(target)


def _print(runs: list[Path]) -> None:
    from depthprobe.cli.report_text import print_reports
    from depthprobe.reports import read_runs, view_alone_or_beside

    print_reports(view_alone_or_beside(read_runs(runs)))
