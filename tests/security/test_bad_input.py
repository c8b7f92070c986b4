"""More bad input, beside tests/cli/test_bad_input.py: the other verbs, values of options and config files, odd data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.runs import RunFolder

GROW = ["grow", "net.py", "-d", "digits"]
SHRINK = ["shrink", "w.pt", "--model", "net.py", "-d", "digits"]
WIDTH = ["width", "w.pt", "--model", "net.py", "-d", "digits"]


def config(text, name="c.toml"):
    return lambda place: (place / name).write_text(text)


def fitting(outputs=10):
    torch.manual_seed(0)
    shapes = {"conv.weight": (4, 1, 3, 3), "conv.bias": (4,), "head.weight": (outputs, 256), "head.bias": (outputs,)}
    return {name: 0.1 * torch.randn(shape) for name, shape in shapes.items()}


def weights(place):
    torch.save(fitting(), place / "w.pt")


def cut(place):
    weights(place)
    (place / "w.pt").write_bytes((place / "w.pt").read_bytes()[:-200])


def run(place):
    RunFolder.create(place / "run", "grow", {}, {}).close()


def finished_badly(text):
    def make(place):
        run(place)
        (place / "run" / "recommendation.json").write_text(text)

    return make


def nothing(place):
    pass


CASES = {
    "seeds no whole number": (config("seeds = 2.5"), [*GROW, "--config", "c.toml"], "seeds"),
    "seeds true": (config("seeds = true"), [*GROW, "--config", "c.toml"], "seeds"),
    "steps a text": (config('steps = "many"'), [*GROW, "--config", "c.toml"], "steps"),
    "lr not finite": (config("lr = nan"), [*GROW, "--config", "c.toml"], "lr"),
    "lr infinite": (nothing, [*GROW, "--lr", "inf"], "lr"),
    "lr zero": (nothing, [*GROW, "--lr", "0"], "lr"),
    "tolerance not a number": (nothing, [*GROW, "--tolerance", "nan"], "tolerance"),
    "tolerance negative": (nothing, [*GROW, "--tolerance", "-0.1"], "tolerance"),
    "huge whole number": (config('{"seeds": 1e999}', "c.json"), [*GROW, "--config", "c.json"], "seeds"),
    "config a list": (config("[1, 2]", "c.json"), [*GROW, "--config", "c.json"], "c.json"),
    "config a folder": (lambda p: (p / "c.toml").mkdir(), [*GROW, "--config", "c.toml"], "c.toml"),
    "config not UTF-8": (lambda p: (p / "c.toml").write_bytes(b"\xff\xfe"), [*GROW, "--config", "c.toml"], "c.toml"),
    "config of another verb": (config("ratios = [0.5]"), [*GROW, "--config", "c.toml"], "ratios"),
    "config unknown table": (config("[grown]\nseeds = 1"), [*GROW, "--config", "c.toml"], "grown"),
    "config unknown in table": (config("[grow]\nseed_count = 1"), [*GROW, "--config", "c.toml"], "seed_count"),
    "config key twice": (config("seeds = 1\nseeds = 2"), [*GROW, "--config", "c.toml"], "c.toml"),
    "config empty name": (nothing, [*GROW, "--config", ""], "config"),
    "optimizer": (nothing, [*GROW, "--optimizer", "magic"], "magic"),
    "lr shape": (nothing, ["train", "net.py", "-d", "digits", "--lr-shape", "round"], "round"),
    "precision": (nothing, [*GROW, "--precision", "fp3"], "fp3"),
    "threads": (nothing, [*GROW, "--threads", "-1"], "threads"),
    "granularity": (nothing, [*GROW, "--granularity", "grain"], "grain"),
    "kernel": (nothing, [*GROW, "--kernel", "0"], "kernel"),
    "copies": (nothing, [*GROW, "--copies", "-1"], "copies"),
    "sites unknown": (nothing, [*GROW, "--sites", "conv9"], "conv9"),
    "sites empty": (nothing, [*GROW, "--sites", ","], "sites"),
    "metric": (nothing, [*GROW, "--metric", "beauty"], "beauty"),
    "metric file": (nothing, [*GROW, "--metric", "no.py:f"], "no.py"),
    "init deviation": (nothing, [*GROW, "--init", "gaussian:-1"], "gaussian:-1"),
    "time budget": (nothing, [*GROW, "--time-budget", "soon"], "soon"),
    "time budget negative": (nothing, [*GROW, "--time-budget", "-3"], "budget"),
    "by": (nothing, [*GROW, "--by", "colour"], "colour"),
    "image size": (nothing, [*GROW, "--image-size", "0"], "image-size"),
    "limit below zero": (nothing, [*GROW, "--limit-train", "-1"], "limit"),
    "max params": (nothing, [*GROW, "--max-params", "0"], "max-params"),
    "weight decay": (nothing, [*GROW, "--weight-decay", "-1"], "weight-decay"),
    "clip": (nothing, [*GROW, "--clip", "0"], "clip"),
    "model args without value": (nothing, [*GROW, "--model-args", "width"], "width"),
    "model args too large": (nothing, [*GROW, "--model-args", "width=0"], "net.py"),
    "model a folder": (lambda p: (p / "m.py").mkdir(), ["grow", "m.py", "-d", "digits"], "m.py"),
    "data an empty name": (nothing, ["grow", "net.py", "-d", ""], "data"),
    "data a device": (nothing, ["grow", "net.py", "-d", "/dev/null"], "/dev/null"),
    "data dir a file": (nothing, ["grow", "net.py", "-d", "mnist", "--data-dir", "net.py"], "net.py"),
    "data dir missing": (nothing, ["grow", "net.py", "-d", "cifar10", "--data-dir", "nowhere"], "nowhere"),
    "out in a file": (nothing, [*GROW, "--out", "net.py/run"], "net.py"),
    "out a file": (nothing, [*GROW, "--out", "net.py"], "net.py"),
    "out a broken link": (lambda p: (p / "link").symlink_to("nowhere"), [*GROW, "--out", "link"], "link"),
    "out too long": (nothing, [*GROW, "--seeds", "1", "--steps", "5", "--out", "x" * 300], "x"),
    "shrink nothing": (nothing, ["shrink"], "CHECKPOINT"),
    "shrink missing": (nothing, ["shrink", "no.pt"], "no.pt"),
    "shrink without model": (weights, ["shrink", "w.pt", "-d", "digits"], "--model"),
    "shrink without data": (weights, ["shrink", "w.pt", "--model", "net.py"], "--dataset"),
    "shrink model args alone": (weights, ["shrink", "w.pt", "--model-args", "width=3"], "--model"),
    "shrink cut file": (cut, SHRINK, "w.pt"),
    "shrink unknown unit": (weights, [*SHRINK, "--units", "conv9"], "conv9"),
    "shrink too many": (weights, [*SHRINK, "--candidates", "99"], "99"),
    "shrink share": (weights, [*SHRINK, "--lr-share", "0"], "lr-share"),
    "width ratios": (weights, [*WIDTH, "--ratios", "two"], "two"),
    "width ratio above one": (weights, [*WIDTH, "--ratios", "1.5"], "ratios"),
    "width unknown unit": (weights, [*WIDTH, "--units", "conv9"], "conv9"),
    "width rounding": (weights, [*WIDTH, "--round-to", "0"], "round-to"),
    "export nothing": (run, ["export", "run"], "--out"),
    "export unfinished": (run, ["export", "run", "--out", "n.py"], "resume run"),
    "export format": (run, ["export", "run", "--out", "n.xyz"], "n.xyz"),
    "export no module name": (run, ["export", "run", "--out", "1-2.py"], "1-2.py"),
    "export over a file": (run, ["export", "run", "--out", "net.py"], "net.py"),
    "export into nowhere": (run, ["export", "run", "--out", "no/n.py"], "no"),
    "report unfinished": (run, ["report", "run"], "resume run"),
    "report over a file": (run, ["report", "run", "--out", "net.py"], "net.py"),
    "report of a broken answer": (finished_badly("{"), ["report", "run"], "recommendation.json"),
    "report of another answer": (finished_badly("{}"), ["report", "run"], "missing or damaged"),
    "resume of a broken answer": (finished_badly("{"), ["resume", "run"], "recommendation.json"),
    "resume of another answer": (finished_badly('{"verdict": 3}'), ["resume", "run"], "recommendation.json"),
    "resume of another verb": (run, ["shrink", "--resume", "run"], "resume run"),
    "resume a file": (nothing, ["resume", "net.py"], "net.py"),
    "inspect a shape of zero": (nothing, ["inspect", "net.py", "--input-shape", "1,0,8"], "1,0,8"),
    "inspect a shape of gigabytes": (nothing, ["inspect", "net.py", "--input-shape", "1,999999,999999"], "999999"),
    "inspect tracer": (nothing, ["inspect", "net.py", "-d", "digits", "--tracer", "x"], "tracer"),
    "train schedule": (nothing, ["train", "net.py", "-d", "digits", "--grow", "--schedule", "x"], "schedule"),
    "seed no number": (nothing, [*GROW, "--seed", "x"], "--seed"),
    "split seed negative": (nothing, [*GROW, "--split-seed", "-1"], "split-seed"),
}  # fmt: skip


def keep(tensors, name="w.pt"):
    return lambda place: torch.save(tensors(), place / name)


def others():
    """Three names missing, one of another shape, twelve that nobody asked for."""
    return {"head.bias": torch.zeros(7), **{f"t{rank}": torch.zeros(2) for rank in range(12)}}


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def written(data):
    return lambda place: (place / "w.pt").write_bytes(data)


def flat(place):
    text = "from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    (place / "flat.py").write_text(text)
    torch.save({"1.weight": torch.randn(10, 64), "1.bias": torch.randn(10)}, place / "w.pt")


DIFFERENT = ["16 names differ", "conv.weight is missing", "head.bias is (7,), the model's (10,)"]
DIFFERENT += ["t0 is not in the model", "t5 is not in the model and 6 more"]
FITTING = ["w.pt", "--model", "net.py", "-d", "digits"]
# Of a trained network, for shrink and width alike: what makes it, what is typed after the verb, what has to be said
TRAINED = {
    "missing": (nothing, FITTING, ["no such file", "w.pt"]),
    "empty": (written(b""), FITTING, ["the checkpoint is empty", "w.pt"]),
    "truncated": (cut, FITTING, ["w.pt", "damaged"]),
    "text": (written(b"no weights at all"), FITTING, ["w.pt", "not executed"]),
    "malicious": (keep(lambda: {"net": Evil()}), FITTING, ["w.pt", "not executed"]),
    "malicious of ours": (
        keep(lambda: {"state_dict": fitting(), "depthprobe": {"model": Evil()}}), ["w.pt"], ["w.pt", "not executed"],
    ),
    "no weights": (keep(lambda: {"epoch": 3}), FITTING, ["holds no weights", "epoch"]),
    "not finite": (
        keep(lambda: {**fitting(), "head.bias": torch.full((10,), torch.nan)}), FITTING, ["not finite", "head.bias"],
    ),
    "another architecture": (keep(others), FITTING, DIFFERENT),
    "untrained": (weights, [*FITTING, "--lr", "0.01", "--steps", "60"], ["no better than guessing", "accuracy"]),
    "fewer outputs than classes": (
        keep(lambda: fitting(4)), [*FITTING, "--model-args", "outputs=4"], ["fewer outputs than", "(batch, 10)"],
    ),
    "nothing to remove or narrow": (flat, ["w.pt", "--model", "flat.py", "-d", "digits"], ["nothing can be"]),
    "a budget of parameters": (
        weights, [*FITTING, "--lr", "0.01", "--max-params", "10"], ["no network of this probe fits", "--max-params "],
    ),
    "a budget of work": (
        weights, [*FITTING, "--lr", "0.01", "--max-macs", "10"], ["the smallest, of ", " multiply-acc", "--max-macs "],
    ),
    "no such accuracy": (weights, [*FITTING, "--keep-accuracy", "97"], ["--keep-accuracy 0.97"]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _data(place):
    np.savez(place / "good.npz", x=np.zeros((8, 2)), y=np.arange(8) % 2)


def test_there_are_enough():
    """Sixty of the command line, counted with those beside it."""
    beside = (Path(__file__).parents[1] / "cli" / "test_bad_input.py").read_text()
    assert len(CASES) + beside.count('": (["') >= 60


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused(case, place, refused):
    build, words, culprit = CASES[case]
    build(place)
    refused(words, culprit)


@pytest.mark.parametrize("verb", ["shrink", "width"])
@pytest.mark.parametrize("case", TRAINED)
def test_a_trained_network_that_will_not_do_is_refused_by_both_verbs(case, verb, place, refused):
    if verb == "width":
        pytest.importorskip("torch_pruning", reason="channels are removed with torch-pruning (extra width)")
    build, words, said = TRAINED[case]
    build(place)
    message = refused([verb, *words], said[0])
    assert all(part in message for part in said), message
    assert not (place / "executed").exists()


@pytest.mark.parametrize("verb", ["shrink", "width"])
def test_more_outputs_than_classes_are_no_mistake(verb):
    """The head of a model for more classes: what it says of the others is never right, and does not matter."""
    if verb == "width":
        pytest.importorskip("torch_pruning", reason="channels are removed with torch-pruning (extra width)")
    torch.manual_seed(0)
    x = torch.randn(900, 4)
    y = (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 1).long()
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 5))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    few = {"steps": 40, "seeds": 1, "threads": 1, "device": "cpu", "lr": 0.02, "tolerance": 0.01}
    sizes = {"shrink": {"candidates": (1,)}, "width": {"ratios": (0.1,)}}
    result = getattr(dp, verb)(net, {"train": (x, y)}, **few, **sizes[verb])
    assert result.recommendation.test["before"] > 0.9
    assert result.recommendation.test["value"] > 0.9
    assert result.model(x[:3]).shape == (3, 5)


@pytest.mark.parametrize(
    "case", ["seeds no whole number", "shrink cut file", "out a file", "export unfinished", "metric"]
)
def test_it_is_refused_by_a_process_of_its_own(case, place):
    build, words, culprit = CASES[case]
    build(place)
    before = sorted(place.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "depthprobe", *words], cwd=place, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert culprit in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6
    assert "Traceback" not in done.stderr
    assert sorted(place.rglob("*")) == before


def test_json_goes_to_stdout_only_when_there_is_an_answer(cli, place):
    code, out, err = cli(*GROW, "--seeds", "0", "--json")
    assert (code, out) == (2, "")
    with pytest.raises(ValueError):
        json.loads(err)
