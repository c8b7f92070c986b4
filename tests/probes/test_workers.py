"""--workers: the arms side by side write what one process writes; a worker that dies, dies twice, or is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from torch import nn

import depthprobe as dp
from depthprobe.cli import main
from depthprobe.errors import ConfigError
from depthprobe.locking import is_held
from depthprobe.probes.bench import Arm
from depthprobe.probes.crew import Crew, check_workers
from depthprobe.probes.listener import Listener
from depthprobe.probes.worker import arm_place
from depthprobe.runs import RunFolder

MODEL = """
import os, signal, sys
from pathlib import Path
from torch import nn
from torch.nn import functional as F

Net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10))
calls = 0


def loss(output, target):
    global calls
    calls += 1
    flag = os.environ.get("DIES", "") if "depthprobe.probes.worker" in sys.orig_argv else ""
    if flag and calls == int(os.environ["DIES_AT"]) and not Path(flag).exists():
        if not flag.endswith("always"):
            Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return F.cross_entropy(output, target)
"""
OPTIONS = ["--dataset", "digits", "--steps", "60", "--lr", "0.05", "--seeds", "2", "--candidates", "0,1", "--quiet"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "net.py"
    path.write_text(MODEL)
    return f"{path}:Net"


def run_cli(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


@pytest.fixture(scope="module")
def serial(tmp_path_factory, model):
    run = tmp_path_factory.mktemp("serial") / "run"
    assert run_cli("grow", model, *OPTIONS, "--threads", "1", "--out", run) == 0
    return run


def grow_beside(model, run, **environment):
    """The same by two workers."""
    command = [sys.executable, "-m", "depthprobe", "grow", model, *OPTIONS, "--threads", "2", "--workers", "2"]
    return subprocess.run(
        [*command, "--out", str(run)], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def check_same_run(run, serial):
    assert (run / "records.jsonl").read_bytes() == (serial / "records.jsonl").read_bytes()
    networks = sorted(path.name for path in (serial / "checkpoints/candidates").iterdir())
    assert sorted(path.name for path in (run / "checkpoints/candidates").iterdir()) == networks
    for name in networks:
        one, other = ((place / "checkpoints/candidates" / name).read_bytes() for place in (run, serial))
        assert one == other, name
    assert not (run / "checkpoints/arms").exists()


def test_a_worker_killed_once_and_the_files_are_those_of_one_process(model, serial, tmp_path):
    flag = tmp_path / "died"
    done = grow_beside(model, tmp_path / "run", DIES=str(flag), DIES_AT="40")  # behind a hold
    assert done.returncode == 0, done.stderr
    assert flag.exists()
    check_same_run(tmp_path / "run", serial)


def test_a_worker_killed_twice_ends_the_run_which_can_be_resumed(model, serial, tmp_path):
    run = tmp_path / "run"
    done = grow_beside(model, run, DIES=str(tmp_path / "always"), DIES_AT="12")  # before any
    assert done.returncode == 3
    assert "a worker died twice" in done.stderr
    assert "killed by signal 9" in done.stderr
    assert f"depthprobe resume {run}" in done.stderr
    assert "Traceback" not in done.stderr
    assert run_cli("resume", run, "--quiet") == 0
    check_same_run(run, serial)


def test_an_interrupt_ends_the_workers_too(model, serial, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "depthprobe", "grow", model, *OPTIONS, "--threads", "2", "--workers", "2"]
    process = subprocess.Popen([*command, "--out", str(run)], stderr=subprocess.PIPE, text=True)
    while not list(run.glob("checkpoints/arms/*")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"depthprobe resume {run}" in err
    assert "Traceback" not in err
    assert run_cli("resume", run, "--quiet") == 0
    check_same_run(run, serial)


def test_what_was_passed_as_an_object_cannot_go_to_workers(tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    with pytest.raises(ConfigError, match="by name") as found:
        dp.grow(net, "digits", out=tmp_path / "run", workers=2, steps=20, lr=0.1, copies=1)
    assert found.value.found == "model"
    assert not (tmp_path / "run").exists()


def test_not_inside_torchrun(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match="torchrun"):
        check_workers({"train": {"workers": 2}})


ORPHAN = """
import subprocess, socket, sys, time
mine, other = socket.socketpair()
code = '''
import sys, time
from multiprocessing.connection import Connection
from pathlib import Path
from depthprobe.locking import FolderLock
from depthprobe.probes.worker import end_with_the_other_side
lock = FolderLock(Path(sys.argv[2]))
end_with_the_other_side(Connection(int(sys.argv[1])))
print("working", flush=True)
time.sleep(600)
'''
subprocess.Popen([sys.executable, "-c", code, str(other.fileno()), sys.argv[1]], pass_fds=[other.fileno()])
other.close()
time.sleep(600)
"""


def test_a_worker_whose_parent_is_killed_ends_and_lets_go_of_its_lock(tmp_path):
    command = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "working\n"
        assert is_held(tmp_path)
        parent.kill()
    for _ in range(400):
        if not is_held(tmp_path):
            return
        time.sleep(0.05)
    pytest.fail("the worker lives on without its parent, and holds the lock")


SMALL = ["--dataset", "digits", "--limit-train", "100", "--steps", "20", "--lr", "0.1", "--threads", "1", "--quiet"]


@pytest.mark.parametrize("verb", ["grow", "train"])
@pytest.mark.parametrize(("batch", "parts"), [("4", "5"), ("512", "200")])
def test_more_parts_than_samples_are_refused_before_there_is_a_folder(model, tmp_path, capsys, verb, batch, parts):
    """A batch of 512 is one of the examples that there are."""
    run = tmp_path / "runs" / "run"
    words = [verb, model, *SMALL, "--batch-size", batch, "--accumulate", parts, "--out", run]
    assert run_cli(*words) == 2
    assert "--accumulate" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_training_has_no_workers(model, tmp_path, capsys):
    config, run = tmp_path / "config.toml", tmp_path / "run"
    config.write_text("[train]\nworkers = 2\n")
    assert run_cli("train", model, *SMALL, "--config", config, "--out", run) == 2
    assert "[train] workers" in capsys.readouterr().err
    assert not run.exists()


@pytest.fixture
def crew(tmp_path):
    arms = [Arm(seed, seed, kind) for seed in range(2) for kind in ("grow", "control")]
    with RunFolder.create(tmp_path / "run", "grow", {}, {}) as folder:
        yield Crew(folder, Listener(), arms, 0, time.monotonic())


def end_arm(crew, index, *records):
    """What a worker leaves behind and tells."""
    with RunFolder.create(arm_place(crew.folder.path, index), "arm", {}, {}) as own:
        for record in records:
            own.append({"arm": crew.arms[index].kind, "seed": crew.arms[index].seed, **record})
        own.save({"arm": 1, "learner": None, "seconds": 0.0})
    crew.hear(("done", index))


def test_a_control_waits_for_its_walk_and_is_left_out_when_that_failed(crew):
    assert [crew.next_arm(None) for _ in range(3)] == [0, 2, None]
    end_arm(crew, 0, {"kind": "failure", "what": "collapsed"})
    assert crew.next_arm(None) is None
    assert crew.records[1] is None
    end_arm(crew, 2)
    assert crew.next_arm(None) == 3
    crew.write_down()
    assert crew.written == 3
    assert [record["kind"] for record in crew.folder.records()] == ["failure"]


def test_time_of_arms_that_have_not_ended_is_not_forgotten(crew, monkeypatch):
    monkeypatch.setattr("depthprobe.probes.crew.CHECKPOINT_SECONDS", 0.0)
    crew.begun -= 100.0
    crew.next_arm(None)
    crew.hear(("progress", 0, 20, 1.0, []))
    payload = crew.folder.restore()
    assert payload["seconds"] >= 100.0
    assert payload["arm"] == 0


def test_a_time_budget_that_ends_the_run_has_the_last_word(crew):
    def stops(arm, done, notebook):
        if done == 0:
            return False
        notebook.record({"kind": "stop", "arm": arm.kind, "seed": arm.seed, "what": "slow"})
        notebook.close_run(4)
        return True

    assert crew.next_arm(stops) == 0
    end_arm(crew, 0, {"kind": "note", "what": "walked"})
    assert crew.next_arm(stops) == 1
    end_arm(crew, 1, {"kind": "note", "what": "controlled"})
    assert crew.next_arm(stops) is None
    crew.write_down()
    crew.finish()
    words = [json.loads(line)["what"] for line in (crew.folder.path / "records.jsonl").read_text().splitlines()]
    assert words == ["walked", "controlled", "slow"]
    assert crew.folder.restore()["arm"] == 4
