"""A sample of what `benchmarks/coverage.py` judges: thirty small models that people have, all checks on each."""

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

MISSING = [name for name in ("torchvision", "timm", "transformers") if find_spec(name) is None]
if MISSING:
    pytest.skip(f"not installed: {', '.join(MISSING)} (pip install 'depthprobe[zoo]')", allow_module_level=True)

SAMPLE = {
    "torchvision": (
        "resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5",
        "efficientnet_b0", "regnet_y_400mf", "googlenet", "lraspp_mobilenet_v3_large", "raft_small",
    ),
    "timm": (
        "vit_tiny_patch16_224", "deit_tiny_patch16_224", "resnet10t", "convnext_atto", "ghostnet_050", "levit_128s",
        "edgenext_xx_small", "pit_ti_224", "mobilenetv4_conv_small",
    ),
    "hf": ("BERT", "ALBERT", "DistilBERT", "GPT-2", "Llama", "T5", "BART", "ViT", "Swin", "Wav2Vec2"),
}  # fmt: skip


@pytest.fixture(scope="module")
def zoo():
    """What the benchmark uses: cases by source, and the checks."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        from zoo import checks, hf_zoo, timm_zoo, torchvision_zoo

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = {
                "torchvision": {case.name: case for case in torchvision_zoo.cases()},
                "timm": {case.name: case for case in timm_zoo.cases(None)},
                "hf": {case.name: case for case in hf_zoo.cases()},
            }
        yield checks, found
    finally:
        sys.path.remove(folder)


@pytest.mark.parametrize(("source", "name"), [(source, name) for source in SAMPLE for name in SAMPLE[source]])
def test_every_check_holds(zoo, source, name):
    checks, cases = zoo
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = checks.try_case(cases[source][name])
    assert found["checks"]
    assert {check: text for check, text in found["checks"].items() if text != "ok"} == {}
    assert set(found["checks"]) == set(checks.CHECKS) or found.get("refused")
