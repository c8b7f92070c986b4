"""Every example is short and runs."""

import gzip
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
DATA = ("token_classifier",)  # data for a model by name
BERT = {
    "num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 40,
    "max_position_embeddings": 16,
}  # fmt: skip
INPUT = {"lenet": "1,28,28", "cifar_quick": "3,32,32", "own_recipe": "2"}


def on_tokens(verb, *words):
    """The verb on a small BERT and the text task, as the example says to run it."""
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    place = EXAMPLES[0].parent / "token_classifier.py"
    settings = [word for name, value in BERT.items() for word in ("--model-args", f"{name}={value}")]
    command = [sys.executable, "-m", "depthprobe", verb, "hf:BertForSequenceClassification", *settings]
    command += ["--dataset", f"{place}:data", "--optimizer", "adamw", *map(str, words)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_hugging_face_classifier_learns_the_text_task(tmp_path):
    done = on_tokens("train", "--steps", "400", "--lr", "0.003", "--out", tmp_path / "run", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["test"]["value"] > 0.45  # chance is a third
    assert any("num_labels=3" in note for note in found["notes"])


def test_a_hugging_face_classifier_grows_to_a_report(tmp_path):
    words = ["--steps", "60", "--seeds", "1", "--lr", "0.003", "--limit-train", "600", "--out", tmp_path / "run"]
    done = on_tokens("grow", *words, "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.stem not in DATA], ids=lambda path: path.stem)
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
