"""Reports: finished runs -> view model -> plotly figures -> one HTML file that needs no network.

write_report([Path("runs/grow-...")], Path("report.html"))
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["render", "write_report"]


def render(runs: Sequence[Path]) -> str:
    """The HTML page of one or several finished grow runs, complete in itself.

    Raises RunFolderError when a folder is no run, is not finished or is damaged.
    """
    from depthprobe.reports.page import render_page
    from depthprobe.reports.reading import read_run
    from depthprobe.reports.summary import view_run

    return render_page([view_run(read_run(Path(path))) for path in runs])


def write_report(runs: Sequence[Path], target: Path) -> None:
    """Write the page of `runs` to `target`, whole or not at all; an older page there is replaced.

    Raises RunFolderError as `render` does, or when `target` cannot be written.
    """
    from depthprobe.reports.writing import write_page

    write_page(render(runs), Path(target))
