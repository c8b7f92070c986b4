"""Reports: finished runs -> view model -> plotly figures -> one HTML file that needs no network.

write_report([Path("runs/grow-...")], Path("report.html"))
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["render", "write_report"]


def render(runs: Sequence[Path]) -> str:
    """The HTML page of one or several finished runs, complete in itself; one of tune stands alone.

    Raises RunFolderError when a folder is no run, is not finished or is damaged.
    """
    from depthprobe.reports.page import render_page
    from depthprobe.reports.reading import read_run
    from depthprobe.reports.study import only, view_study
    from depthprobe.reports.study_page import render_study
    from depthprobe.reports.summary import view_run

    read = [read_run(Path(path)) for path in runs]
    if any(run.command == "tune" for run in read):
        return render_study(view_study(only(read)))
    return render_page([view_run(run) for run in read])


def write_report(runs: Sequence[Path], target: Path) -> None:
    """Write the page of `runs` to `target`, whole or not at all; an older page there is replaced.

    Raises RunFolderError as `render` does, or when `target` cannot be written.
    """
    from depthprobe.reports.writing import write_page

    write_page(render(runs), Path(target))
