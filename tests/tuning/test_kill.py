"""Workers that are really killed: every trial ends exactly once, with the value that one undisturbed worker gives."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from depthprobe.tuning.queue import by_slot, last_attempts
from depthprobe.tuning.quiet import quietly

NET = """
from torch import nn

model = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 10),
)
"""
# What the random sampler proposes depends on the slot alone: so values can be compared trial by trial.
STUDY = ["tune", "net.py", "--dataset", "digits", "--copies", "6", "--lr", "0.05", "--sampler", "random"]
ALONE = ["--confirm-seeds", "1", "--heartbeat", "1", "--quiet", "--json"]
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []


def start(words, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "depthprobe", *map(str, words)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process, seconds=600):
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return json.loads(out)


def wait_for(what, process, seconds=600):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def load(url, name):
    """The study, or None while it is being made. Nothing stays connected."""
    try:
        with quietly():
            storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool}, skip_table_creation=True)
            return optuna.load_study(study_name=name, storage=storage)
    except (KeyError, SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError):
        return None


def in_training(study, checkpoints):
    """(slot, pid) of a running trial that has a checkpoint."""
    if study is None:
        return None
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        slot = trial.user_attrs["slot"]
        if "worker" in trial.user_attrs and list((checkpoints / f"{slot:05d}").rglob("[0-9]*.json")):
            return slot, int(trial.user_attrs["worker"].rpartition(":")[2])
    return None


def values(study):
    return {t.user_attrs["slot"]: t.value for t in last_attempts(study)}


def curves(study):
    return {t.user_attrs["slot"]: [run["curve"] for run in t.user_attrs["runs"]] for t in last_attempts(study)}


def check_whole(study, trials, killed):
    """Every trial ended exactly once; the killed one was failed and run again."""
    slots = by_slot(study.get_trials(deepcopy=False))
    assert sorted(slots) == list(range(trials))
    assert all([t.state for t in attempts].count(TrialState.COMPLETE) == 1 for attempts in slots.values())
    assert all(len(attempts) == 1 for slot, attempts in slots.items() if slot != killed)
    assert [t.state for t in slots[killed]] == [TrialState.FAIL, TrialState.COMPLETE]
    assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))


def kill_one_of_three(folder, url, trials, steps):
    """Three workers, one killed in mid-trial with a checkpoint; returns the study and the slot that was hit."""
    words = [*STUDY, *ALONE, "--trials", trials, "--steps", steps, "--storage", url, "--study", "three"]
    process = start([*words, "--workers", "3", "--out", "three"], folder)
    place = folder / "three" / "checkpoints" / "trials"
    slot, pid = wait_for(lambda: in_training(load(url, "three"), place), process)
    os.kill(pid, signal.SIGKILL)
    answer = finish(process)
    assert answer["trials"]["retried"] == 1
    assert answer["trials"]["complete"] == trials
    study = load(url, "three")
    assert last_attempts(study)[slot].user_attrs["resumed_at_step"] > 0
    return study, slot


def alone(folder, trials, steps):
    words = [*STUDY, *ALONE, "--trials", trials, "--steps", steps, "--study", "one", "--out", "one"]
    finish(start(words, folder))
    return load(f"sqlite:///{folder / 'one' / 'study.db'}", "one")


@pytest.mark.slow
def test_sqlite_three_workers_one_killed(folder):
    study, killed = kill_one_of_three(folder, f"sqlite:///{folder / 'shared.db'}", 12, 150)
    check_whole(study, 12, killed)
    one = alone(folder, 12, 150)
    assert values(study) == values(one)
    assert curves(study) == curves(one)


@pytest.fixture
def postgres(tmp_path):
    """URL of Debian's PostgreSQL, on loopback, in a folder of its own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed (no /usr/lib/postgresql/*/bin)")
    place = Path(f"/tmp/depthprobe-postgres-{os.getpid()}")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    as_other = []
    if os.geteuid() == 0:  # the server refuses to be root
        if shutil.which("setpriv") is None or subprocess.run(["id", "postgres"], capture_output=True).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres or no setpriv")
        shutil.chown(place, "postgres")
        as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binaries, data = POSTGRES[-1], place / "data"
    quiet = {"check": True, "capture_output": True, "cwd": place, "env": {**os.environ, "LC_ALL": "C"}}
    subprocess.run([*as_other, binaries / "initdb", "-D", data, "-A", "trust", "-U", "probe", "-E", "UTF8"], **quiet)
    options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*as_other, binaries / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-l", place / "log", "-o", options, "start"], **{**quiet, "capture_output": False,
                   "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL})  # fmt: skip
    try:
        yield f"postgresql+psycopg://probe@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **{**quiet, "check": False})
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
def test_postgresql_three_workers_one_killed(folder, postgres):
    study, killed = kill_one_of_three(folder, postgres, 12, 150)
    check_whole(study, 12, killed)
    one = alone(folder, 12, 150)
    assert values(study) == values(one)
    assert curves(study) == curves(one)


@pytest.mark.slow
def test_a_worker_joins_over_postgresql(folder, postgres):
    """`depthprobe worker` beside the study's own process; both end."""
    words = [*STUDY, *ALONE, "--trials", "6", "--steps", "200", "--storage", postgres, "--study", "joined"]
    process = start([*words, "--out", "run"], folder)
    wait_for(lambda: load(postgres, "joined"), process)
    wait_for(lambda: "depthprobe" in load(postgres, "joined").user_attrs, process)
    worker = start(["worker", "joined", "--storage", postgres, "--out", "there"], folder)
    answer = finish(process)
    _, err = worker.communicate(timeout=200)
    assert worker.returncode == 0, err
    assert answer["trials"]["complete"] == 6
    workers = {trial.user_attrs["worker"] for trial in load(postgres, "joined").trials}
    assert len(workers) == 2, err


def test_a_killed_study_goes_on_from_the_checkpoint_of_its_trial(folder):
    """The one process of a study, killed in mid-trial and resumed: its trial ends with the value it would have had."""
    words = [*STUDY, *ALONE, "--trials", "2", "--steps", "120", "--study", "same"]
    process = start([*words, "--out", "run"], folder)
    url = f"sqlite:///{folder / 'run' / 'study.db'}"
    checkpoints = folder / "run" / "checkpoints" / "trials"
    slot, pid = wait_for(lambda: in_training(load(url, "same"), checkpoints), process)
    assert pid == process.pid
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = [path.stat().st_mtime_ns for path in checkpoints.rglob("[0-9]*.json")]
    assert kept
    answer = finish(start(["resume", "run", "--quiet", "--json"], folder))
    assert answer["trials"]["retried"] == 1
    study = load(url, "same")
    check_whole(study, 2, slot)
    assert last_attempts(study)[slot].user_attrs["resumed_at_step"] > 0
    finish(start([*words, "--out", "whole"], folder))
    whole = load(f"sqlite:///{folder / 'whole' / 'study.db'}", "same")
    assert values(study) == values(whole)
    assert curves(study) == curves(whole)


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on_and_costs_no_retry(folder):
    words = [*STUDY, "--trials", "2", "--steps", "200", "--confirm-seeds", "1", "--heartbeat", "1", "--study", "same"]
    process = start([*words, "--out", "run"], folder)
    url = f"sqlite:///{folder / 'run' / 'study.db'}"
    wait_for(lambda: in_training(load(url, "same"), folder / "run" / "checkpoints" / "trials"), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "depthprobe resume run" in err
    assert "Traceback" not in err
    answer = finish(start(["resume", "run", "--quiet", "--json"], folder))
    assert answer["trials"]["complete"] == 2
