"""Every example is short and runs."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
INPUT = {"lenet": "1,28,28", "cifar_quick": "3,32,32", "own_recipe": "2"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_model_that_can_grow(path):
    assert path.read_text().count("\n") < 80
    words = ["inspect", str(path), "--input", INPUT.get(path.stem, "1,8,8"), "--json"]
    done = subprocess.run([sys.executable, "-m", "depthprobe", *words], capture_output=True, text=True, check=True)
    info = json.loads(done.stdout)
    assert any(unit["growable"] for unit in info["units"])
    assert len(info["grow"]["candidates"]) >= 2


@pytest.mark.parametrize(
    ("example", "dataset"), [("lenet", "mnist"), pytest.param("cifar_quick", "cifar10", marks=pytest.mark.slow)]
)
def test_the_official_data_sets_end_in_a_report(example, dataset, shared_data, tmp_path):
    prepare = [sys.executable, str(shared_data / "prepare.py"), str(tmp_path / "data"), dataset]
    subprocess.run(prepare, check=True, capture_output=True)
    words = ["grow", str(EXAMPLES[0].parent / f"{example}.py"), "--dataset", dataset, "--data-dir", tmp_path / "data"]
    words += [
        "--limit-train",
        "600",
        "--steps",
        "30",
        "--seeds",
        "1",
        "--candidates",
        "1",
        "--out",
        tmp_path / "run",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "depthprobe", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["command"] == "grow"
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000


def test_truncated_archives_are_refused(shared_data, tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for source in (shared_data / "mnist").glob("*.gz"):
        content = gzip.decompress(source.read_bytes())
        (folder / source.name).write_bytes(gzip.compress(content[: len(content) // 2], 1))
    words = ["grow", str(EXAMPLES[0].parent / "lenet.py"), "--dataset", "mnist", "--data-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "depthprobe", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "idx3-ubyte" in done.stderr
