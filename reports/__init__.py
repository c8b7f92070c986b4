"""Reports: finished runs -> view model -> plotly figures -> one HTML file that needs no network.

write_report([Path("runs/grow-...")], Path("report.html"))
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthprobe.reports.reading import Run
    from depthprobe.reports.training import TrainingView
    from depthprobe.reports.view import RunView

__all__ = ["draw_curve", "read_runs", "render", "view_alone_or_beside", "view_runs", "write_report"]


def render(runs: Sequence[Path]) -> str:
    """The HTML page of one or several finished runs, complete in itself; one of train or tune stands alone.

    Raises RunFolderError when a folder is no run, is not finished or is damaged.
    """
    from depthprobe.reports.page import render_page

    read = read_runs(runs)
    if len(read) == 1 and read[0].command == "tune":
        from depthprobe.reports.study import view_study
        from depthprobe.reports.study_page import render_study

        return render_study(view_study(read[0]))
    return render_page(view_alone_or_beside(read))


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
    """What the reports of probes show. Raises RunFolderError when a file does not hold what it should, or for a
    training, which has no curve.
    """
    from depthprobe.errors import RunFolderError
    from depthprobe.reports.reading import PROBES
    from depthprobe.reports.summary import view_run

    for run in runs:
        if run.command not in PROBES:
            raise RunFolderError(
                f"a run of {run.command} stands alone",
                where=str(run.path),
                expected=" or ".join(f"a run of depthprobe {command}" for command in PROBES),
                hint=f"depthprobe report {run.path}",
            )
    return [view_run(run) for run in runs]


def view_alone_or_beside(runs: "Sequence[Run]") -> "list[RunView] | list[TrainingView]":
    """Views of probes, or of one training. Raises RunFolderError as `view_runs` does."""
    from depthprobe.reports.summary import view_train

    if len(runs) == 1 and runs[0].command == "train":
        return [view_train(runs[0])]
    return view_runs(runs)
