"""What one verb hands back is what the next one begins with, and the file says all it needs."""

import json

import pytest
import torch
from safetensors import safe_open

import depthprobe as dp
from depthprobe.cli import main
from depthprobe.inputs import open_model
from depthprobe.probes import grow as probe
from depthprobe.probes.answer import Failure

NET = """
from torch import nn
model = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)
)
"""
QUICK = ["--steps", "20", "--seeds", "1", "--candidates", "1", "--threads", "1", "--quiet"]
SPLIT = {"seed": 5, "fold": 1, "folds": 2}


def run(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def failed_first(setup, arm, records):
    return (
        Failure(0, arm.kind, "collapsed: made to, so that the network is of the second fold") if arm.rank == 0 else None
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """grown: a run on digits that advises a layer, a fold for each of two seeds; net.pt, net.safetensors: exported."""
    place = tmp_path_factory.mktemp("compose")
    (place / "net.py").write_text(NET)
    words = ["--steps", "200", "--seeds", "2", "--lr", "0.1", "--copies", "1", "--batch-size", "32", "--threads", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "collapse", failed_first)
        out = ["--split-seed", "5", "--quiet", "--out", place / "grown"]
        assert run("grow", place / "net.py", "-d", "digits", *words, *out) == 0
    for name in ("net.pt", "net.safetensors"):
        assert run("export", place / "grown", "--out", place / name) == 0
    return place


@pytest.fixture(scope="module")
def shrunk(place):
    """Shrink of the folder and of both files, nothing but the size of the probe given: name -> run folder."""
    folders = {name: place / f"of-{name}" for name in ("grown", "net.pt", "net.safetensors")}
    for name in ("grown", "net.safetensors"):
        assert run("shrink", place / name, *QUICK, "--out", folders[name]) == 0
    dp.shrink(place / "net.pt", steps=20, seeds=1, candidates=(1,), threads=1, out=folders["net.pt"])
    return folders


def read(folder, name):
    return json.loads((folder / name).read_text())


def measured(folder, seed, walk):
    lines = map(json.loads, (folder / "records.jsonl").read_text().splitlines())
    return [r for r in lines if r["kind"] == "measurement" and (r["seed"], r["walk"]) == (seed, walk)]


def test_the_file_says_all_that_is_needed(place):
    saved = torch.load(place / "grown/model.pt", weights_only=True)
    with safe_open(place / "net.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()["depthprobe"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    assert about == json.loads(json.dumps(saved["depthprobe"]))
    assert about["split"] == SPLIT
    assert about["model"]["spec"] == str(place / "net.py")
    assert (about["data"]["spec"], about["train"]["lr"], about["train"]["batch_size"]) == ("digits", 0.1, 32)
    (edit,) = dp.recipe_from_json(about["recipe"])
    assert (edit.unit, edit.copies) == ("0", 1)
    assert all(torch.equal(tensors[name], value) for name, value in saved["state_dict"].items())
    assert tensors.keys() == saved["state_dict"].keys()


@pytest.mark.parametrize("name", ["grown", "net.pt", "net.safetensors"])
def test_a_grown_network_is_shrunk_on_the_split_that_it_was_grown_on(place, shrunk, name):
    """Of the second fold of two: what it saw in training is not validated on."""
    config, answer = read(shrunk[name], "config.json"), read(shrunk[name], "recommendation.json")
    assert config["split"] == SPLIT
    assert (config["train"]["lr"], config["train"]["batch_size"], config["data"]["spec"]) == (0.1, 32, "digits")
    assert not any("may have seen the validation examples" in note for note in answer["notes"])
    ((before,), grown) = measured(shrunk[name], 0, "as it is"), measured(place / "grown", 1, "down")
    other = measured(place / "grown", 0, "down")[0]["valid_id"]
    assert before["valid_id"] == grown[0]["valid_id"]
    assert before["valid_id"] != other
    assert before["value"] == next(r["value"] for r in grown if r["opened"] == 1)  # the network that was advised
    assert answer["depth"]["current"] == 3


def test_the_folder_and_both_files_are_one_network(shrunk):
    records = {(folder / "records.jsonl").read_bytes() for folder in shrunk.values()}
    assert len(records) == 1
    recipes = {(folder / "recipe.json").read_text() for folder in shrunk.values()}
    assert len(recipes) == 1


def test_what_is_left_is_built_from_the_models_file(place, shrunk):
    saved = torch.load(shrunk["net.safetensors"] / "model.pt", weights_only=True)
    assert saved["depthprobe"]["split"] == SPLIT
    recipe = dp.recipe_from_json((shrunk["net.safetensors"] / "recipe.json").read_text())
    plain = dp.settle(dp.apply(open_model(str(place / "net.py")).build(3), recipe, torch.zeros(2, 1, 8, 8)))
    plain.load_state_dict(saved["state_dict"], strict=True)
