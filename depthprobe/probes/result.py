"""What a probe returns in Python."""

import json
import shutil
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from depthprobe.errors import ConfigError, RunFolderError
from depthprobe.probes.answer import Recommendation
from depthprobe.probes.shown import answer_html
from depthprobe.runs import check_out


class Result:
    """recommendation: the answer; model: the recommended network, trained, plain modules; curve: one row per candidate
    with depth, value, low, high, params, macs, latency_ms; folder: the run folder.
    """

    def __init__(self, folder: Path, recommendation: Recommendation, model: nn.Module) -> None:
        self.folder, self.recommendation, self.model = folder, recommendation, model

    @property
    def curve(self) -> list[dict[str, Any]]:
        """Metric against depth (of a width probe: against the ratio), one dict per candidate, ascending."""
        part = self.recommendation.width if self.recommendation.command == "width" else self.recommendation.depth
        return list(part["candidates"])

    def save(self, folder: str | Path) -> Path:
        """Copy the run folder to `folder`, which must not exist."""
        target = Path(folder)
        check_out(target)
        shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns(".*"))
        return target

    def report(self, path: str | Path) -> Path:
        """Write the HTML report to `path`."""
        _reports().write_report([self.folder], Path(path))
        return Path(path)

    def plot(self) -> Any:
        """The curve with its intervals, the control, the tolerance and the chosen point, as a plotly Figure."""
        return _reports().draw_curve(self.folder)

    def to_frame(self) -> Any:
        """`curve` as a pandas DataFrame, one row per candidate. Raises ConfigError without pandas."""
        if find_spec("pandas") is None:
            raise ConfigError(
                "a data frame needs the package pandas",
                where="result.to_frame()",
                hint="pip install pandas; result.curve is the same as a list of dicts",
            )
        return import_module("pandas").DataFrame(self.curve)

    def __repr__(self) -> str:
        return f"Result({self.recommendation.sentence!r})"

    def _repr_html_(self) -> str:
        """The answer and its candidates, for a notebook."""
        return answer_html(self.recommendation, self.curve)


def _reports() -> Any:
    """The package that draws: found by its entry point, because this one must not import it."""
    (entry,) = entry_points(group="depthprobe.report", name="html")
    return import_module(entry.module)


def load_recommendation(folder: Path) -> Recommendation:
    """The recommendation of a finished run. Raises RunFolderError."""
    path = folder / "recommendation.json"
    if not path.exists():
        raise RunFolderError("the run is not finished", where=str(folder), hint=f"depthprobe resume {folder}")
    try:
        return Recommendation.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunFolderError(
            "recommendation.json is damaged", where=str(folder), found=str(error),
            hint=f"rm {path} && depthprobe resume {folder}",
        ) from error  # fmt: skip
