"""The paper's experiments at smoke scale, killed and resumed; its architectures; the rules of the claims."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from depthprobe.inputs import open_dataset
from depthprobe.training.batches import Batches
from examples.paper import claims
from examples.paper.__main__ import main
from examples.paper.accuracy import accuracy
from examples.paper.alexnet import alexnet
from examples.paper.cifar11 import cifar11
from examples.paper.document import describe_arm, write_document
from examples.paper.folder import MEAN, STD, open_folder
from examples.paper.lenet import lenet
from examples.paper.lines import append_line, read_lines
from examples.paper.measured import interval, settled_at, sooner_by, threshold
from examples.paper.parts import WithinChannelNorm, draw
from examples.paper.ramps import added_units, make_schedule
from examples.paper.rows import ORDER, SCALES, read_row
from examples.paper.vgg import vgg

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal
from examples.paper import __main__, train
train.CHECKPOINT_SECONDS = 0.0
save, count = train.RunFolder.save, [0]
def counted(folder, payload):
    save(folder, payload)
    count[0] += 1
    if count[0] == 5:
        os.kill(os.getpid(), signal.SIGKILL)
train.RunFolder.save = counted
__main__.main({words})
"""


def run(*words):
    command = [sys.executable, "-m", "examples.paper", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_every_row_runs_and_is_written_down(tmp_path):
    done = run("--all", "--scale", "smoke", "--seeds", "1", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    lines = read_lines([tmp_path / "smoke.jsonl"])
    arms = {(row, arm.name) for row in ORDER for arm in read_row(row, "smoke").arms}
    assert {(line["row"], line["arm"]) for line in lines} == arms
    for line in lines:
        assert len(line["curve"]) > 1, line["arm"]
        assert 0.0 <= line["test_error"] <= 1.0
    assert run("--all", "--scale", "smoke", "--seeds", "1", "--out", tmp_path).stdout == done.stdout[:0]
    write_document(tmp_path, tmp_path / "page.md", ("smoke",))
    page = (tmp_path / "page.md").read_text()
    assert page.count("\n## ") == len(ORDER) + 1
    assert "not run" not in page
    assert str(tmp_path) not in page


def test_a_killed_arm_goes_on_to_the_same_numbers(tmp_path):
    words = ["lenet30", "--arm", "staggered, d 7500", "--scale", "smoke", "--seeds", "1", "--out"]
    code = KILLED.format(words=[*words, str(tmp_path / "killed")])
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed" / "smoke.jsonl").exists()
    for name in ("killed", "whole"):
        done = run(*words, tmp_path / name)
        assert done.returncode == 0, done.stderr
    killed, whole = (read_lines([tmp_path / name / "smoke.jsonl"])[0] for name in ("killed", "whole"))
    for key in ("test_error", "train_loss", "curve", "steps"):
        assert killed[key] == whole[key], key


def test_torn_and_outdated_lines_are_left_out(tmp_path):
    path, row = tmp_path / "smoke.jsonl", read_row("lenet10", "smoke")
    settings = row.settings_of(row.arm("conventional"))
    line = {"row": "lenet10", "arm": "conventional", "seed": 0, "scale": "smoke", "settings": settings}
    append_line(path, line)
    with path.open("a") as file:
        file.write(json.dumps({**line, "seed": 1})[:-5])
    append_line(path, {**line, "seed": 2})
    append_line(path, {**line, "seed": 3, "settings": {**settings, "steps": 11}})  # of another time
    assert [found["seed"] for found in read_lines([path])] == [0, 2]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ORDER)
def test_every_arm_can_be_built(name, scale):
    row = read_row(name, scale)
    sides = {"mnist": (1, 28), "cifar10": (3, 32), "digits": (1, 8), "imagenet": (3, 227)}
    channels, side = sides[row.settings["dataset"]]
    side = row.settings.get("image", side)
    for arm in row.arms:
        with torch.device("meta"):
            net = row.build(arm, (channels, side, side))
            assert net(torch.zeros(2, channels, side, side)).shape[0] == 2
        assert not arm.start or row.arm(arm.start)


def convs(net):
    return [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in net.modules() if isinstance(m, nn.Conv2d)]


def test_the_architectures_are_those_of_the_tables():
    with torch.device("meta"):
        deep, eight, sixteen = alexnet(classes=1000), vgg(8, classes=1000), vgg(16, classes=1000)
        expanded, eleven = lenet(5), cifar11()
    assert [(o, k) for _, o, k in convs(deep)] == [
        (width, kernel) for width, kernel in [(96, 11), (256, 5), (384, 3), (384, 3), (256, 3)] for _ in (1, 2)
    ]
    assert deep.fc6.in_features == 256 * 7 * 7  # 227 -> 55 -> 28 -> 14 -> 7, as Caffe rounds
    assert sum(p.numel() for p in sixteen.parameters()) == 138_357_544  # as torchvision's vgg16
    assert [o for _, o, _ in convs(eight)] == [64, 128, 256, 512, 512]
    assert convs(expanded) == [(1, 20, 5), *[(20, 20, 3)] * 4, (20, 50, 5), *[(50, 50, 3)] * 4]
    assert expanded.fc3.in_features == 50 * 4 * 4
    assert convs(eleven) == [(3, 32, 5), *[(32, 32, 5)] * 9, (32, 64, 3)]


def test_the_gated_units_are_those_that_the_paper_added():
    net, example = lenet(3, (4, 5), 8, (1, 14, 14), (0, 2)), torch.zeros(2, 1, 14, 14)
    assert added_units(net, example) == ["conv1_2", "conv1_3", "conv2_2", "conv2_3"]


def test_schedules_end_where_they_should():
    names = ["a", "b", "c"]
    for kind, first, last in (("together", 0, 1), ("staggered", 0, 1), ("growing", 0, 1), ("closing", 1, 0)):
        schedule = make_schedule(kind, names, 60, 100)
        assert set(schedule.ratios(0).values()) == {first}, kind
        assert set(schedule.ratios(60).values()) == {last}, kind
    growing = make_schedule("growing", names, 60, 100)
    assert [ramp.length for ramp in growing.ramps] == [20, 40, 60]


def test_caffes_xavier_and_a_gaussian_that_keeps_the_gain():
    torch.manual_seed(0)
    conv = draw(nn.Conv2d(64, 64, 3), "xavier")
    assert float(conv.weight.detach().var() * 64 * 9) == pytest.approx(1.0, rel=0.02)
    assert not conv.bias.any()
    small = draw(nn.Conv2d(16, 64, 3), "gaussian:0.01", 1.0, 64 * 9)
    assert float(small.weight.detach().std()) == pytest.approx(0.02, rel=0.03)
    assert (small.bias == 1).all()


def test_the_local_norm_is_caffes_within_channel_norm():
    x = torch.randn(2, 3, 5, 5)
    found = WithinChannelNorm(3, alpha=0.5)(x)
    window = x[1, 2, 1:4, 2:5]
    assert torch.allclose(found[1, 2, 2, 3], x[1, 2, 2, 3] / (1 + 0.5 / 9 * (window**2).sum()) ** 0.75)


def test_an_image_folder_is_read_as_it_is_asked_for(tmp_path):
    dice = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = dice.integers(0, 256, (20, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    split = open_folder(tmp_path, 16, held_out=3)
    assert (len(split.train), len(split.valid), len(split.test)) == (9, 3, 4)
    assert split.test.y.tolist() == [0, 0, 1, 1]
    whole = open_dataset(str(tmp_path), image_size=16).valid.x
    mean = torch.tensor(MEAN).view(3, 1, 1)
    assert torch.allclose(split.test.x[:3] * STD + mean, whole[:3], atol=1e-5)
    batches = Batches(split.train, 4, 0, True, torch.device("cpu"))
    assert batches.at(1)[0].shape == (4, 3, 16, 16)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    assert accuracy(net, split.test.x, split.test.y) in (0.0, 0.25, 0.5, 0.75, 1.0)


def line(arm, seed, error, curve=((10, 1.0, 0.9),)):
    settled = {"steps": 100, "classes": 10, "curve": [list(point) for point in curve]}
    return {"row": "r", "arm": arm, "seed": seed, "test_error": error, "converged": error < 0.7, **settled}


def case(rule, that_errors, this_errors=(0.1, 0.11, 0.12)):
    lines = [line("new", seed, error) for seed, error in enumerate(this_errors)]
    lines += [line("old", seed, error) for seed, error in enumerate(that_errors)]
    return claims.judge_case(rule, {"this": ["r/new"], "that": ["r/old"]}, lines)


@pytest.mark.parametrize(
    ("rule", "that", "verdict"),
    [
        ("trains", (0.9, 0.9, 0.9), "holds"),
        ("trains", (0.9, 0.9, 0.1), "does not hold"),
        ("better", (0.2, 0.215, 0.222), "holds"),
        ("better", (0.05, 0.061, 0.069), "does not hold"),
        ("better", (0.2, 0.05, 0.12), "undecided"),
        ("no better", (0.2, 0.05, 0.12), "undecided"),
        ("no better", (0.05, 0.061, 0.069), "holds"),
        ("no better", (0.2, 0.215, 0.222), "does not hold"),
        ("alike", (0.104, 0.111, 0.121), "holds"),
        ("alike", (0.2, 0.215, 0.222), "does not hold"),
        ("alike", (0.2, 0.05, 0.12), "undecided"),
        ("better", (), "not run"),
        ("sooner", (0.9, 0.9, 0.1), "undecided"),
    ],
)
def test_a_claim_is_judged_by_its_rule(rule, that, verdict):
    assert case(rule, that)[0] == verdict


def test_arms_that_learned_nothing_are_no_evidence_that_something_is_needless():
    assert case("no better", (0.9, 0.9, 0.9), (0.9, 0.9, 0.9)) == ("undecided", "neither converged")


def test_a_premise_that_does_not_hold_decides_nothing():
    lines = [line("shallow", 0, 0.9), line("deep", 0, 0.9)]
    asked = {"given": ["r/shallow"], "this": ["r/deep"]}
    assert claims.judge_case("converges", asked, lines) == ("undecided", "r/shallow did not converge")
    assert claims.judge_case("converges", asked, [line("shallow", 0, 0.1), lines[1]])[0] == "does not hold"


def test_a_claim_of_which_not_all_cases_were_run_says_so():
    cases = [{"on": "one", "this": ["r/a"]}, {"on": "two", "this": ["r/b"]}]
    assert claims.judge({"rule": "converges", "case": cases}, [line("a", 0, 0.1)])[0] == "holds (1 of 2 cases run)"


def test_cases_that_disagree_are_counted():
    lines = [line(name, seed, error) for name, error in (("a", 0.1), ("b", 0.9), ("c", 0.2)) for seed in range(2)]
    cases = [{"on": "one", "this": ["r/a"], "that": ["r/b"]}, {"on": "two", "this": ["r/a"], "that": ["r/c"]}]
    verdict, rows = claims.judge({"rule": "trains", "case": cases}, lines)
    assert verdict == "depends: holds in 1 of 2 cases"
    assert [row[1] for row in rows] == ["holds", "does not hold"]


def test_every_claim_is_about_arms_that_exist():
    for claim in claims.read_claims():
        for found in claim["case"]:
            for name in [*found["this"], *found.get("that", []), *found.get("given", [])]:
                row, _, arm = name.partition("/")
                assert read_row(row, "cpu").arm(arm), name
            if claim["rule"] not in ("trains", "converges"):
                assert len(found["this"]) == len(found["that"]) == 1


def test_the_page_is_what_the_lines_say(tmp_path):
    write_document(ROOT / "benchmarks" / "results" / "paper", tmp_path / "paper.md")
    expected = (tmp_path / "paper.md").read_text()
    assert (ROOT / "docs" / "paper.md").read_text() == expected, "python -m examples.paper --document"


def test_an_arm_that_diverged_keeps_its_updates_and_says_where_it_ended():
    row = read_row("max_scale", "cpu")
    arm = row.arm("no limit")
    ran = {**line(arm.name, 0, 0.5), "steps": 8000, "failed": None, "train_loss": 1.0, "seconds": 2}
    ended = {**ran, "test_error": None, "converged": False, "steps": 512, "failed": "the loss", "train_loss": None}
    said = describe_arm(row, arm, [ran, ended])
    assert said.startswith("| no limit | 8000 | 1 of 2 | 70.00")
    assert "| 1.000 (1 diverged, from update 512 on) |" in said


def test_interval_and_places_on_a_curve():
    assert interval([0.5]).low is None
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, round(found.high, 3)) == (2.0, 4.484)
    curve = [(10, 0.9, 0.2), (20, 0.8, 0.95), (30, 0.7, 0.5), (40, 0.6, 0.93), (50, 0.5, 0.94)]
    assert settled_at(line("a", 0, 0.06, curve), 0.9) == 40
    late, early = line("a", 0, 0.06, curve), line("b", 0, 0.05, [(10, 1.0, 0.9), (50, 1.0, 0.95)])
    assert sooner_by(early, late) == 30  # to 0.9 of 0.94, the lower of the final ones
    assert sooner_by(early, line("a", 0, 0.9, curve)) is None
    assert threshold(line("a", 0, 0.9, [])) is None  # broke off before the first look
    assert threshold(line("a", 0, 0.9, [(1, 0.1, 0.1), (2, 0.9, 0.1)])) is None  # learned nothing
    assert threshold(line("a", 0, 0.5, [(1, 0.9, 0.4), (2, 0.5, 0.5)])) is None  # falls towards the whole
    assert threshold(line("a", 0, 0.06, [(1, 0.9, 0.80), (2, 0.5, 0.795), (3, 0.2, 0.6)])) == 0.5


def test_a_row_that_does_not_exist_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["lenet11", "--out", str(tmp_path)])
    assert "lenet10" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
