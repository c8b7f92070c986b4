"""Runs made from the golden one: a copy with some facts changed."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "run-v1"
FINISHED = Path(__file__).parent / "finished"


@pytest.fixture
def golden():
    """The run folder as version 0.1 wrote it (records thinned)."""
    return GOLDEN


@pytest.fixture(scope="session")
def chromium():
    """A running browser; skips where there is none."""
    spec = importlib.util.spec_from_file_location("devtools", Path(__file__).with_name("devtools.py"))
    devtools = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(devtools)
    if devtools.BROWSER is None:
        pytest.skip("no chromium or chromium-browser on PATH")
    browser = devtools.Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def finished():
    """Small real runs without the scores of examples: grow, full (--by, --sensitivity, --verify), shrink and width of
    their first courses and of the present ones (-now, with --verify).
    """
    return {path.name: path for path in sorted(FINISHED.iterdir()) if path.name != "train"}


@pytest.fixture(scope="session")
def trained():
    """A finished training."""
    return FINISHED / "train"


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, **files) -> a copy of the golden run; files: JSON name -> what to change in it."""

    def make(name="run", extra_records=(), **changes):
        folder = tmp_path / name
        shutil.copytree(GOLDEN, folder)
        for stem, change in changes.items():
            path = folder / f"{stem}.json"
            document = json.loads(path.read_text(encoding="utf-8"))
            merge(document, change)
            path.write_text(json.dumps(document), encoding="utf-8")
        with (folder / "records.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in extra_records)
        return folder

    return make


def merge(document, change):
    """Change nested values in place; a whole list or `depth` entry is replaced."""
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict) and key != "resamples":
            merge(document[key], value)
        else:
            document[key] = value


KEEP = {
    "verdict": "keep",
    "sentence": "Keep 3 layers: nothing to gain above the tolerance of 1.2 points.",
    "depth": {"recommended": 3, "best_guess": 3, "range95": [3, 3], "resamples": {"3": 1.0}},
    "add": [],
    "notes": ["no measured depth beats the current one by the tolerance"],
}
OPEN = {
    "verdict": "inconclusive",
    "sentence": "Inconclusive: the gain over the control is not separated from zero; 1 of 3 seeds failed.",
    "failed_seeds": [2],
    "depth": {
        "recommended": None,
        "best_guess": 4,
        "range95": [3, 7],
        "fitted": [0.94, 0.97, 0.978, 0.98, 0.981],
    },
    "gain": {"over_control": {"value": 0.01, "low": -0.005, "high": 0.025}},
    "add": [],
    "notes": ["seed 2: collapsed at 7 layers", "the gain over the control is not separated from zero"],
}
FAILURE = {"kind": "failure", "arm": "grow", "seed": 2, "what": "collapsed at 7 layers"}


@pytest.fixture
def keep_run(make_run):
    """A run whose answer is to leave the depth as it is."""
    return make_run("keep", recommendation=KEEP)


@pytest.fixture
def open_run(make_run):
    """A run that does not decide, with a failed seed and a fitted curve."""
    return make_run("open", recommendation=OPEN, extra_records=[FAILURE])
