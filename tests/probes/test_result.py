"""What a result offers in a notebook: figure, frame, HTML."""

from pathlib import Path

import plotly.graph_objects as go
import pytest
from torch import nn

from depthprobe.errors import ConfigError
from depthprobe.probes.answer import Recommendation
from depthprobe.probes.result import Result, load_recommendation

FINISHED = Path(__file__).parents[1] / "reports" / "finished"


def result_of(name):
    folder = FINISHED / name
    return Result(folder, load_recommendation(folder), nn.Identity())


@pytest.mark.parametrize("name", ["grow", "shrink", "width"])
def test_plot_is_the_curve(name):
    result = result_of(name)
    figure = result.plot()
    assert isinstance(figure, go.Figure)
    estimate = next(trace for trace in figure.data if str(trace.name).startswith("estimate"))
    assert list(estimate.y) == [row["value"] for row in result.curve]


@pytest.mark.parametrize("name", ["grow", "shrink", "width"])
def test_a_notebook_shows_the_sentence_and_every_candidate(name):
    result = result_of(name)
    shown = result._repr_html_()
    assert result.recommendation.sentence.replace(">", "&gt;") in shown
    assert shown.count("<tr>") == 1 + len(result.curve)
    assert "recommended" in shown


def test_names_in_a_notebook_are_escaped():
    result = result_of("grow")
    evil = "<img src=x onerror=alert(1)>"
    hostile = Recommendation(**{**result.recommendation.__dict__, "sentence": evil, "metric": evil})
    assert "<img" not in Result(result.folder, hostile, nn.Identity())._repr_html_()


def test_to_frame_says_which_package_is_missing(monkeypatch):
    monkeypatch.setattr("depthprobe.probes.result.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"package pandas(.|\n)*pip install pandas"):
        result_of("grow").to_frame()


def test_to_frame_has_one_row_per_candidate():
    pytest.importorskip("pandas", reason="pandas is not installed")
    result = result_of("grow")
    frame = result.to_frame()
    assert list(frame["value"]) == [row["value"] for row in result.curve]


def test_report_writes_the_page(tmp_path):
    page = result_of("grow").report(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").endswith("</html>\n")
