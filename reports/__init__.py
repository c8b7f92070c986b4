"""Reports: finished runs -> view model -> plotly figures -> one HTML file that needs no network.

write_report([Path("runs/grow-...")], Path("report.html"))
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthprobe.reports.reading import Run
    from depthprobe.reports.view import RunView

__all__ = ["draw_curve", "read_runs", "render", "render_runs", "view_runs", "write_report"]


def render(runs: Sequence[Path]) -> str:
    """The HTML page of one or several finished runs, complete in itself; one of tune stands alone.

    Raises RunFolderError when a folder is no run, is not finished or is damaged.
    """
    return render_runs(read_runs(runs))


def render_runs(runs: "Sequence[Run]") -> str:
    """The HTML page of runs that were read."""
    if any(run.command == "tune" for run in runs):
        from depthprobe.reports.study import only, view_study
        from depthprobe.reports.study_page import render_study

        return render_study(view_study(only(list(runs))))
    from depthprobe.reports.page import render_page

    return render_page(view_runs(runs))


def write_report(runs: Sequence[Path], target: Path) -> None:
    """Write the page of `runs` to `target`, whole or not at all; an older page there is replaced.

    Raises RunFolderError as `render` does, or when `target` cannot be written.
    """
    from depthprobe.reports.writing import write_page

    write_page(render(runs), Path(target))


def draw_curve(run: Path) -> Any:
    """The curve of a finished run, the figure that carries the answer, as a plotly Figure. Raises RunFolderError."""
    from depthprobe.reports.depth_figure import draw_depth

    (view,) = view_runs(read_runs([run]))
    return draw_depth(view.curve).drawing


def read_runs(runs: Sequence[Path]) -> "list[Run]":
    """Finished run folders, read. Raises RunFolderError."""
    from depthprobe.reports.reading import read_run

    return [read_run(Path(path)) for path in runs]


def view_runs(runs: "Sequence[Run]") -> "list[RunView]":
    """What their reports show. Raises RunFolderError when a file does not hold what it should, or for a study."""
    from depthprobe.reports.summary import view_run

    return [view_run(run) for run in runs]
