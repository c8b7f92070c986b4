"""The report of a single training."""

import json
import shutil

import pytest

from depthprobe.errors import RunFolderError
from depthprobe.reports import read_runs, render, view_alone_or_beside
from depthprobe.reports.sections import sections_of


def test_what_was_reached_and_how_it_went(trained):
    (view,) = view_alone_or_beside(read_runs([trained]))
    assert view.answer.sentence == "Trained: accuracy 0.994 on the test examples, 0.992 on validation examples."
    assert [tile.value for tile in view.answer.costs] == ["0.994", "0.992", "28.6\u00a0k", "300"]
    assert [one.name for section in sections_of(view) for one in section.exhibits] == ["course", "loss", "range"]


def test_its_page_says_so(trained):
    page = render([trained])
    assert "trained on <em>digits</em>" in page
    assert page.count('class="plot"') == 3
    assert "How sure" not in page


def test_it_stands_alone(trained, golden):
    with pytest.raises(RunFolderError, match="a run of train stands alone"):
        render([golden, trained])


def test_unfinished(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "summary.json").unlink()
    with pytest.raises(RunFolderError, match=r"not finished(.|\n)*summary.json"):
        render([run])


def test_damaged(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "summary.json").write_text("{}")
    with pytest.raises(RunFolderError, match="damaged"):
        render([run])


def test_a_metric_that_is_no_fraction(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    path = run / "summary.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "metric": "neg_mse", "valid": {"value": -3.25, "examples": 8}}))
    assert "neg_mse" in render([run])
