"""Run folders of every format there was: read, reported, exported, and those that were interrupted resumed."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import pytest

from depthprobe.runs import RUN_SCHEMA

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = [1, 2]
VERBS = ["grow", "train", "shrink", "width"]
LATER = [("2c", "shrink"), ("2c", "width")]  # of format 2 too, by the present course (golden/make.py)
# Begun before these verbs changed what they train, or in which order.
ENDED = [(1, "shrink"), (1, "width"), (2, "shrink"), (2, "width")]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """place(folder): one with the model, the checkpoint and copies of the runs, where they find each other."""
    monkeypatch.chdir(tmp_path)

    def make(number):
        source = GOLDEN / f"runs-v{number}"
        shutil.copytree(source, tmp_path / "old")
        shutil.copy(GOLDEN / "golden_net.py", tmp_path)
        first = source if (source / "train").exists() else GOLDEN / "runs-v2"
        shutil.copy(first / "train" / "model.pt", tmp_path / "trained.pt")
        for config in (tmp_path / "old").glob("*/config.json"):
            relocate(config, "@HERE@", str(tmp_path))
        return tmp_path / "old"

    return make


def relocate(config, old, new):
    """Change a path in config.json, and what the manifests say of it."""
    before = hashlib.sha256(config.read_bytes()).hexdigest()
    config.write_text(config.read_text().replace(old, new))
    after = hashlib.sha256(config.read_bytes()).hexdigest()
    for manifest in (config.parent / "checkpoints").glob("*.json"):
        manifest.write_text(manifest.read_text().replace(before, after))


@pytest.fixture
def cli(capsys):
    def run(*words):
        from depthprobe.cli import main

        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return stop.value.code or 0, *capsys.readouterr()

    return run


def test_the_present_format_is_among_them():
    assert FORMATS[-1] == RUN_SCHEMA
    for number in FORMATS:
        for verb in VERBS:
            for run in (verb, f"{verb}-cut"):
                config = json.loads((GOLDEN / f"runs-v{number}" / run / "config.json").read_text())
                assert (config["schema"], config["command"]) == (number, verb)


@pytest.mark.parametrize(("number", "verbs"), [*((number, VERBS) for number in FORMATS), ("2c", ["shrink", "width"])])
def test_finished_runs_are_read(number, verbs, place, cli):
    runs = place(number)
    for verb in verbs:
        name = "summary.json" if verb == "train" else "recommendation.json"
        code, out, err = cli("resume", runs / verb, "--json")
        assert code == 0, err
        assert "finished already" in err
        assert json.loads(out) == {**json.loads(out), **json.loads((runs / verb / name).read_text())}
        code, out, err = cli("export", runs / verb, "--out", f"{verb}.py")
        assert code == 0, err
        code, out, err = cli("report", runs / verb)
        assert code == 0, err


@pytest.mark.parametrize(
    ("number", "verb"), [run for run in [*itertools.product(FORMATS, VERBS), *LATER] if run not in ENDED]
)
def test_interrupted_runs_go_on(number, verb, place, cli):
    runs = place(number)
    run, whole = runs / f"{verb}-cut", runs / verb
    before = (run / "records.jsonl").read_bytes()
    code, out, err = cli("resume", run, "--quiet", "--json")
    assert code == 0, err
    after, records = (run / "records.jsonl").read_text(), (whole / "records.jsonl").read_text()
    assert after.encode().startswith(before.splitlines(keepends=True)[0])
    # Bits may differ between machines: the same things were measured at the same steps.
    shape = [
        [(r["kind"], r["arm"], r.get("step")) for r in map(json.loads, text.splitlines())] for text in (after, records)
    ]
    assert shape[0] == shape[1]
    assert json.loads(out)["command"] == verb


@pytest.mark.parametrize(("number", "verb"), ENDED)
def test_what_another_course_began_is_refused_with_what_to_type(number, verb, place, cli):
    runs = place(number)
    code, out, err = cli("resume", runs / f"{verb}-cut")
    assert (code, out) == (2, "")
    assert "begun by another version" in err
    assert f"depthprobe {verb} trained.pt" in err


def test_a_newer_format_is_refused_with_what_to_type(place, cli):
    runs = place(2)
    relocate(runs / "grow" / "config.json", '"schema": 2', '"schema": 3')
    for words in (["resume", runs / "grow"], ["report", runs / "grow"]):
        code, out, err = cli(*words)
        assert (code, out) == (2, "")
        assert "schema 1 or 2" in err
        assert "schema 3" in err or "3" in err
        assert "pip install --upgrade depthprobe" in err
