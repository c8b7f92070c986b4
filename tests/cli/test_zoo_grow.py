"""Models by name on official pictures: a grow probe ends in a report (a Hugging Face one: tests/test_examples.py)."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

VIT = ["patch_size=4", "depth=3", "embed_dim=96", "num_heads=3"]
CASES = {
    "torchvision:resnet18": ("cifar10", []),
    "timm:vit_tiny_patch16_224": ("cifar10", [*(f"--model-args={pair}" for pair in VIT), "--optimizer=adamw"]),
    # At the rate that the range test finds, so few updates make the new blocks collapse: the probe says so (exit 3).
    "torchvision:shufflenet_v2_x0_5": ("mnist", ["--lr=0.01"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", CASES)
def test_a_model_by_name_grows_to_a_report(spec, shared_data, tmp_path):
    package, (dataset, words) = spec.partition(":")[0], CASES[spec]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed (pip install 'depthprobe[zoo]')")
    prepare = [sys.executable, str(shared_data / "prepare.py"), str(tmp_path / "data"), dataset]
    subprocess.run(prepare, check=True, capture_output=True)
    command = [sys.executable, "-m", "depthprobe", "grow", spec, "--dataset", dataset, *words, "--json"]
    command += ["--data-dir", tmp_path / "data", "--limit-train", "2000", "--steps", "60", "--seeds", "1"]
    done = subprocess.run(
        [*map(str, command), "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["command"] == "grow"
    assert any("num_classes=10" in note for note in answer["notes"])
    assert any("in_channels=1" in note for note in answer["notes"]) == (dataset == "mnist")
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
