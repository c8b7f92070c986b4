"""However a run ends early: its last checkpoint, an exit code, and the command to resume as the last line."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from depthprobe.probes import train as training
from depthprobe.runs import RunFolder

NET = """
from torch import nn
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4, 10))
"""
WORDS = ["train", "net.py", "-d", "digits", "--steps", "60", "--lr", "0.05", "--threads", "1", "--quiet"]


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)  # a checkpoint at every mark
    (tmp_path / "net.py").write_text(NET)

    def run(*words):
        from depthprobe.cli import main

        monkeypatch.setattr(sys, "argv", ["depthprobe", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code or 0, *capsys.readouterr()

    return run


def raising(monkeypatch, error, after=2):
    """`error` comes with the checkpoint number `after`, before it is written."""
    real, count = RunFolder.save, [0]

    def save(self, payload):
        count[0] += 1
        if count[0] > after:
            if isinstance(error, int):
                signal.raise_signal(error)
            else:
                raise error
        real(self, payload)

    monkeypatch.setattr(RunFolder, "save", save)


MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried ...")
ENDINGS = {
    "SIGTERM": (signal.SIGTERM, 130, "interrupted"),
    "SIGHUP": (signal.SIGHUP, 130, "interrupted"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "interrupted"),
    "out of memory (Python)": (MemoryError(), 3, "out of memory"),
    "out of memory (torch, CPU)": (MEMORY, 3, "out of memory"),
    "out of memory (torch, GPU)": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), 3, "out of memory"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_last_line_says_how_to_go_on(cli, tmp_path, monkeypatch, ending):
    error, expected, said = ENDINGS[ending]
    before = signal.signal(error, signal.SIG_DFL) if isinstance(error, int) else None  # nohup has SIGHUP ignored
    with monkeypatch.context() as patched:
        raising(patched, error)
        code, out, err = cli(*WORDS, "--out", "my run")
    if isinstance(error, int):
        signal.signal(error, before)
    assert (code, out) == (expected, "")
    assert said in err
    assert "Traceback" not in err
    assert err.rstrip("\n").splitlines()[-1].endswith("depthprobe resume 'my run'")
    assert len(err.strip().splitlines()) <= 6
    with RunFolder.open(tmp_path / "my run", write=True) as folder:
        assert folder.restore()["learner"]["step"] == 20
    code, _, err = cli("resume", "my run", "--quiet")
    assert code == 0, err


def test_a_full_disk_says_how_to_go_on(cli, tmp_path, monkeypatch):
    real, count = os.fsync, [0]

    def fsync(handle):
        count[0] += 1
        if count[0] > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        code, _, err = cli(*WORDS, "--out", "run")
    assert code == 3
    assert "No space left on device" in err
    assert err.rstrip("\n").splitlines()[-1].endswith("depthprobe resume run")
    assert not list(tmp_path.rglob("*.partial"))
    assert cli("resume", "run", "--quiet")[0] == 0


def test_before_there_is_a_run_an_interrupt_leaves_nothing(cli, tmp_path, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt(), after=0)
    code, _, err = cli(*WORDS, "--out", "run")
    assert (code, err) == (130, "interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


def test_other_errors_are_not_taken_for_a_lack_of_memory(cli, monkeypatch):
    raising(monkeypatch, RuntimeError("something else"))
    code, _, err = cli(*WORDS, "--out", "run")
    assert code == 3
    assert "unexpected RuntimeError: something else" in err


def test_a_real_process_gets_sigterm(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    words = [sys.executable, "-m", "depthprobe", *WORDS, "--out", "run"]
    words[words.index("60")] = "200000"
    process = subprocess.Popen(
        words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    while not (tmp_path / "run").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines() == ["interrupted; go on with:", "depthprobe resume run"]
    with RunFolder.open(tmp_path / "run", write=True) as folder:
        folder.restore()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")  # noqa: PTH110
def test_an_answer_that_cannot_be_printed(cli, tmp_path):
    assert cli(*WORDS, "--out", "run")[0] == 0
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "depthprobe", "resume", "run", "--json"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_run_whose_progress_nobody_reads_goes_on_to_its_end(tmp_path):
    """`depthprobe train ... 2>&1 | head -1`: neither a line of progress nor of the answer ends it."""
    (tmp_path / "net.py").write_text(NET)
    words = [word for word in WORDS if word != "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "depthprobe", *words, "--out", "run"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 0
    with RunFolder.open(tmp_path / "run") as folder:
        assert folder.finished


@pytest.mark.parametrize("json", [True, False])
def test_a_broken_pipe_inside_a_run_is_no_success(cli, monkeypatch, json):
    raising(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    code, _, err = cli(*WORDS, "--out", "run", *(["--json"] if json else []))
    assert code == 3
    assert err.splitlines()[-1].split() == ["try:", "depthprobe", "resume", "run"]
