"""Delivery of the kernels: nothing happens at import, the cache is checked before it is loaded, causes are named."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch

from depthprobe.errors import ConfigError, KernelError
from depthprobe.ops import build, cache, kernels

ARCHS = ("sm_90",)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPTHPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEPTHPROBE_OPS", raising=False)
    monkeypatch.setattr(kernels, "_refusals", {})
    monkeypatch.setattr(kernels, "_loaded", [])


@pytest.fixture
def compiles(monkeypatch):
    """nvcc's place taken by something quick that leaves a file; returns how often it ran."""
    runs = []

    def run(command):
        runs.append(command)
        Path(command[command.index("-o") + 1]).write_bytes(b"\x7fELF not really" * 100)

    monkeypatch.setattr(build, "_run_nvcc", run)
    monkeypatch.setattr(build, "find_nvcc", lambda: Path("nvcc-of-a-test"))
    monkeypatch.setattr(build, "nvcc_version", lambda nvcc: "0.0")
    return runs


def test_a_sound_build_is_made_once(compiles):
    made, problem = build.build_kernels(ARCHS)
    assert (made.problem, problem) == (None, None)
    assert build.build_kernels(ARCHS) == (made, None)
    assert len(compiles) == 1
    assert cache.builds() == (made,)
    assert "-DTORCH_TARGET_VERSION=0x020a000000000000" in compiles[0]
    assert not list(made.folder.parent.glob(".staging*"))


DAMAGES = {
    "deleted library": (lambda folder: (folder / "kernels.so").unlink(), "kernels.so is missing"),
    "truncated library": (lambda folder: os.truncate(folder / "kernels.so", 100), "kernels.so has 100 bytes"),
    "empty library": (lambda folder: os.truncate(folder / "kernels.so", 0), "kernels.so has 0 bytes"),
    "foreign library": (
        lambda folder: (folder / "kernels.so").write_bytes(bytes((folder / "kernels.so").stat().st_size)),
        "kernels.so is not the one that was built",
    ),
    "deleted manifest": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing or damaged"),
    "torn manifest": (lambda folder: os.truncate(folder / "manifest.json", 30), "manifest.json is missing or damaged"),
    "manifest that is a list": (
        lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json is missing or damaged",
    ),
    "foreign manifest": (
        lambda folder: (folder / "manifest.json").write_text(
            (folder / "manifest.json").read_text().replace(torch.__version__, "1.0")
        ),
        "manifest.json belongs to another build",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_build_is_reported_never_loaded_and_rebuilt(compiles, damage, monkeypatch):
    made, _ = build.build_kernels(ARCHS)
    harm, message = DAMAGES[damage]
    harm(made.folder)
    monkeypatch.setattr(torch.ops, "load_library", lambda path: pytest.fail("a damaged library was loaded"))
    assert message in kernels.load_kernels((9, 0))
    assert message in cache.builds()[0].problem
    again, problem = build.build_kernels(ARCHS)
    assert message in problem
    assert again.problem is None
    assert len(compiles) == 2


def test_a_library_that_is_none_is_refused_without_ending_the_process(compiles):
    build.build_kernels(ARCHS)  # its bytes match the manifest, and still it is no library
    assert "does not load" in kernels.load_kernels((9, 0))
    assert kernels.loaded() is None


def test_two_builders_wait_for_each_other(compiles, monkeypatch):
    quick, inside, most = build._run_nvcc, [0], [0]

    def slow(command):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.1)
        quick(command)
        inside[0] -= 1

    monkeypatch.setattr(build, "_run_nvcc", slow)
    threads = [threading.Thread(target=build.build_kernels, args=(ARCHS,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(compiles), most[0]) == (1, 1)


def test_the_lock_of_a_killed_builder_is_free(compiles):
    home = cache.cache_folder() / "ops"
    code = f"""
from pathlib import Path
from depthprobe.ops import build
with build._locked(Path({str(home)!r})):
    print("in", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"in\n"
        other.kill()
    assert build.build_kernels(ARCHS)[0].problem is None


def test_a_compiler_that_fails_leaves_nothing_and_names_its_first_error(monkeypatch, tmp_path):
    fake = tmp_path / "bin" / "nvcc"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'prefix.cu(3): error: no such thing' >&2\nexit 2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    with pytest.raises(KernelError, match=r"2: prefix.cu\(3\): error: no such thing"):
        build.build_kernels(ARCHS)
    assert cache.builds() == ()
    assert [p.name for p in (cache.cache_folder() / "ops").iterdir()] == [".lock"]


def test_no_compiler_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(build, "find_nvcc", lambda: None)
    with pytest.raises(KernelError, match=r"nvcc was not found(.|\n)*CUDA_HOME"):
        build.build_kernels(ARCHS)


@pytest.mark.parametrize(
    ("archs", "capability", "covered"),
    [
        (("sm_80", "sm_90"), (9, 0), True), (("sm_80",), (8, 6), True), (("sm_86",), (8, 0), False),
        (("sm_80",), (9, 0), False), (("sm_90a",), (9, 0), True), (("sm_120",), (12, 0), True),
        (("sm_120",), (2, 0), False),
    ],
)  # fmt: skip
def test_which_devices_a_build_serves(archs, capability, covered, tmp_path):
    assert cache.Build(folder=tmp_path, archs=archs, problem=None).covers(capability) is covered


def test_architectures_are_checked():
    assert build.parse_archs(" sm_90, sm_80 ") == ("sm_80", "sm_90")
    for text in ("", "90", "sm_80;rm"):
        with pytest.raises(ConfigError, match="--arch"):
            build.parse_archs(text)


def test_auto_warns_once_with_cause_and_command(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    with pytest.warns(UserWarning, match=r"none are built for sm_90, torch .*depthprobe ext build"):
        assert kernels.kernels_for(0) is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kernels.kernels_for(0) is False


def test_cuda_demanded_and_absent_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setenv("DEPTHPROBE_OPS", "cuda")
    for _ in range(2):
        with pytest.raises(KernelError, match=r"none are built for sm_90(.|\n)*depthprobe ext build"):
            kernels.kernels_for(0)


def test_reference_asks_nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: pytest.fail("CUDA was asked"))
    monkeypatch.setenv("DEPTHPROBE_OPS", "reference")
    assert kernels.kernels_for(0) is False
    monkeypatch.setenv("DEPTHPROBE_OPS", "gpu")
    with pytest.raises(ConfigError, match="DEPTHPROBE_OPS"):
        kernels.kernels_for(0)


def test_import_and_use_on_a_cpu_neither_initialise_cuda_nor_compile_nor_touch_the_cache(tmp_path):
    code = """
import subprocess, os
def forbidden(*args, **kwargs): raise AssertionError("a process was started")
subprocess.Popen = subprocess.run = os.system = forbidden
import sys, torch, depthprobe, depthprobe.ops, depthprobe.layers
depthprobe.DropIn("bernoulli", ratio=0.5)(torch.ones(2, 4), torch.zeros(2, 4))
depthprobe.Resize((3, 4, 4))(torch.ones(2, 2, 8, 8))
assert not torch.cuda.is_initialized()
heavy = {"optuna", "plotly", "accelerate", "rich", "typer", "torchvision", "sklearn"}
assert not heavy & set(sys.modules)
"""
    home = tmp_path / "untouched"
    environment = {**os.environ, "DEPTHPROBE_CACHE": str(home)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment)
    assert not home.exists()


STUB = """
void torch_c10_cuda_check_msg(void) {}
void torch_c10_cuda_free_error_msg(void) {}
void aoti_torch_get_current_cuda_stream(void) {}
"""


@pytest.mark.slow
def test_the_real_library_builds_and_registers_its_kernels(tmp_path):
    """Without a GPU as well: what only a CUDA build of torch exports is stubbed, the rest is what will be loaded."""
    if build.find_nvcc() is None or shutil.which("gcc") is None:
        pytest.skip("no nvcc and gcc: the real library cannot be built")
    made, _ = build.build_kernels(ARCHS)
    assert json.loads((made.folder / "manifest.json").read_text())["archs"] == ["sm_90"]
    if torch.version.cuda is None:
        (tmp_path / "stub.c").write_text(STUB)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "stub.so", tmp_path / "stub.c"], check=True)
        assert "undefined symbol" in kernels.load_kernels((9, 0))
        ctypes.CDLL(str(tmp_path / "stub.so"), mode=ctypes.RTLD_GLOBAL)
    code = f"""
import ctypes, torch, depthprobe.ops
from depthprobe.ops import kernels
if torch.version.cuda is None: ctypes.CDLL({str(tmp_path / "stub.so")!r}, mode=ctypes.RTLD_GLOBAL)
assert kernels.load_kernels((9, 0)) is None
x, choice, draw = torch.ones(2, 3, 4, 4), torch.arange(3), (1, torch.tensor(0), 9, 0, 1.0, 1.0)
calls = {{
    "dropin_prefix": (x[:, 1:], x, 1, 1), "dropin_prefix_backward": (x, 1, 1), "dropin_bernoulli": (x, x, *draw),
    "dropin_bernoulli_backward": (x, *draw), "resize": (x, [2, 2], 3, choice),
    "resize_backward": (x, [2, 3, 8, 8], choice), "dropin_prefix_resized": (x[1:], x, 1, 0, [4, 4], choice),
}}
for name, arguments in calls.items():  # the kernels read their arguments, and refuse what is not on a GPU
    operator = getattr(torch.ops.depthprobe, name).default
    assert torch._C._dispatch_has_kernel_for_dispatch_key("depthprobe::" + name, "CUDA")
    try:
        operator.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA), *arguments)
    except RuntimeError as error:
        assert "CUDA" in str(error), error
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
