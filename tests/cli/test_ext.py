"""depthprobe ext: what it says, and its exit codes, where there is no GPU and no kernel."""

import json

import pytest
import torch

from depthprobe.ops import build


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPTHPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEPTHPROBE_OPS", raising=False)


def test_status_says_what_runs_and_what_is_built(cli):
    code, out, err = cli("ext", "status")
    assert (code, err) == (0, "")
    assert "none for this torch (depthprobe ext build)" in out
    code, out, _ = cli("ext", "status", "--json")
    facts = json.loads(out)
    assert facts["mode"] == "auto"
    assert facts["torch"] == torch.__version__
    assert facts["builds"] == []
    assert facts["runs"] == "plain PyTorch (reference)"


def test_build_reports_what_it_replaces(cli, monkeypatch):
    def run(command):
        with open(command[command.index("-o") + 1], "wb") as file:  # noqa: PTH123
            file.write(b"built")

    monkeypatch.setattr(build, "_run_nvcc", run)
    monkeypatch.setattr(build, "find_nvcc", lambda: "nvcc")
    monkeypatch.setattr(build, "nvcc_version", lambda nvcc: "0.0")
    code, out, err = cli("ext", "build", "--arch", "sm_90,sm_80", "--json")
    made = json.loads(out)
    assert (code, made["archs"], made["replaced"]) == (0, ["sm_80", "sm_90"], None)
    with open(made["library"], "wb"):  # noqa: PTH123
        pass
    assert "kernels.so has 0 bytes" in cli("ext", "status")[1]
    code, out, err = cli("ext", "build", "--arch", "sm_80,sm_90")
    assert code == 0
    assert "not used and is replaced: kernels.so has 0 bytes" in err
    assert ": ready (" in cli("ext", "status")[1]


def test_refusals_name_the_culprit(cli, monkeypatch):
    code, out, err = cli("ext", "build", "--arch", "hopper")
    assert (code, out) == (2, "")
    assert "--arch" in err
    assert "sm_80,sm_90" in err
    if not torch.cuda.is_available():
        code, out, err = cli("ext", "build")
        assert (code, out) == (3, "")
        assert "depthprobe ext build --arch sm_90" in err
    monkeypatch.setenv("DEPTHPROBE_OPS", "fast")
    code, out, err = cli("ext", "status")
    assert (code, out) == (2, "")
    assert "auto, reference, cuda" in err
