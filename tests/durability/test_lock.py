"""A run folder belongs to one process: a second is refused by name, a killed one's lock is nobody's."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from depthprobe.errors import RunFolderError
from depthprobe.locking import OWNER
from depthprobe.runs import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from depthprobe.runs import RunFolder
folder = RunFolder.open(Path(sys.argv[1]), write=True)
print("held", flush=True)
time.sleep(600)
"""
RACE = """
import sys, time
from pathlib import Path
from depthprobe.errors import RunFolderError
from depthprobe.runs import RunFolder
while time.time() < float(sys.argv[2]): pass
try:
    folder = {call}
except RunFolderError as error:
    print(error.what)
else:
    print("mine", flush=True)
    time.sleep(3)
"""
CALLS = {
    "create": "RunFolder.create(Path(sys.argv[1]), 'grow', {}, {})",
    "open": "RunFolder.open(Path(sys.argv[1]), write=True)",
}


def start(code, *words):
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_process_is_refused_by_pid_and_host_and_a_killed_one_is_not_in_the_way(run):
    holder = start(HOLD, run)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RunFolderError) as caught:
        RunFolder.open(run, write=True)
    error = caught.value
    assert error.exit_code == 2
    assert str(run) == error.where
    assert f"process {holder.pid} on {socket.gethostname()}" in error.found
    assert error.hint == f"wait for it, or: kill {holder.pid} && depthprobe resume {run}"
    RunFolder.open(run)  # reading is free
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with RunFolder.open(run, write=True) as folder:
        assert json.loads((run / "checkpoints" / OWNER).read_text())["pid"] == os.getpid()
        assert folder.restore()["arm"] == 2


def test_a_lock_of_another_machine_is_not_to_be_killed(run):
    with RunFolder.open(run, write=True):
        (run / "checkpoints" / OWNER).write_text('{"pid": 7, "host": "elsewhere", "since": "today"}')
        with pytest.raises(RunFolderError, match="process 7 on elsewhere") as caught:
            RunFolder.open(run, write=True)
        assert "kill" not in caught.value.hint
        (run / "checkpoints" / OWNER).write_text("damaged")
        with pytest.raises(RunFolderError, match="another process works"):
            RunFolder.open(run, write=True)


@pytest.mark.parametrize("how", CALLS)
def test_of_two_that_start_at_once_exactly_one_wins(run, tmp_path, how):
    for attempt in range(3):
        target = run if how == "open" else tmp_path / f"new{attempt}"
        begin = time.time() + 6
        racers = [start(RACE.replace("{call}", CALLS[how]), target, begin) for _ in range(2)]
        said = sorted(racer.communicate(timeout=60)[0].strip() for racer in racers)
        assert said.count("mine") == 1, said
        assert len([path for path in tmp_path.iterdir() if path.name.startswith(".")]) == 0
        with RunFolder.open(target, write=True) as folder:
            folder.restore()
        if attempt == 0 and how == "open":
            break


def test_what_a_killed_process_staged_is_removed_by_the_next(tmp_path):
    stale = tmp_path / ".run.0a0a0a0a.partial"
    (stale / "checkpoints").mkdir(parents=True)
    (stale / "config.json").write_text("{}")
    (tmp_path / ".run.mine").mkdir()  # not ours
    RunFolder.create(tmp_path / "run", "grow", {}, {}).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.mine", "run"]
