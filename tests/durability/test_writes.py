"""The disk is full, or the file system refuses, at any write: what was there is there, and nothing half-written."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from depthprobe.errors import DepthprobeError, RunFolderError
from depthprobe.runs import RunFolder
from depthprobe.training import writing


class FullDisk(contextlib.AbstractContextManager):
    """The system call number `at` of a kind fails, and all after it: (calls counted) in `calls`."""

    def __init__(self, monkeypatch, call, at):
        self.calls, self.at, self.real = 0, at, getattr(os, call)
        monkeypatch.setattr(os, call, self._call)

    def _call(self, *words):
        self.calls += 1
        if self.calls > self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*words)

    def __exit__(self, *_):
        return None


def leftovers(folder):
    return list(folder.rglob("*.partial"))


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_a_full_disk_at_every_sync(tmp_path, work, monkeypatch, at):
    """fsync is where a full disk shows at the latest; every file and folder that is written passes there."""
    work.make(tmp_path / "whole")
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        disk = FullDisk(patched, "fsync", at)
        error = None
        try:
            work.make(run)
        except DepthprobeError as stopped:
            error = stopped
    if error is None:
        assert disk.calls <= at
    else:
        assert "No space left" in error.found
        assert error.hint == (f"depthprobe resume {run}" if run.exists() else "another --out")
        assert error.exit_code == (3 if run.exists() else 2)
    assert leftovers(tmp_path) == []
    if run.exists():
        for line in (run / "records.jsonl").read_text().splitlines():
            json.loads(line)
        with RunFolder.open(run, write=True) as folder:
            work.go_on(folder)
    else:
        work.make(run)
    assert work.facts(run) == work.facts(tmp_path / "whole")


def test_a_record_that_does_not_fit_leaves_no_torn_line(run, monkeypatch):
    with RunFolder.open(run, write=True) as folder:
        folder.restore()
        before = (run / "records.jsonl").read_bytes()
        folder.append({"n": 1})

        class Small:
            def write(self, data):
                if len(data) <= 4:
                    raise OSError(errno.ENOSPC, "No space left on device")
                with (run / "records.jsonl").open("ab") as file:
                    return file.write(data[:4])

            def close(self):
                pass

        folder._records.close()
        monkeypatch.setattr(folder, "_records", Small())
        with pytest.raises(DepthprobeError, match="No space left"):
            folder.append({"n": 2, "more": "x" * 20})
        assert (run / "records.jsonl").read_bytes() == before + b'{"n":1}\n'
        assert folder.size == len(before) + 8


@pytest.mark.parametrize("name", ["text.json", "tensors.pt"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_old_file_stays_when_the_new_one_fails(tmp_path, monkeypatch, name, call):
    def write(value):
        if name == "text.json":
            writing.write_text(tmp_path / name, value)
        else:
            writing.write_torch(tmp_path / name, {"value": value})

    write("old")
    before = (tmp_path / name).read_bytes()
    with monkeypatch.context() as patched:
        if call == "fsync":
            FullDisk(patched, "fsync", 0)
        else:
            patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with pytest.raises(OSError):
            write("new")
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_interrupt_while_writing_leaves_no_half_file(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writing.write_text(tmp_path / "a.json", "{}")
    with pytest.raises(KeyboardInterrupt):
        RunFolder.create(tmp_path / "run", "grow", {}, {})
    assert list(tmp_path.iterdir()) == []


def test_half_written_files_of_a_killed_process_are_swept(run):
    stale = [run / ".model.pt.partial", run / "checkpoints" / ".00000009.pt.partial"]
    stale.append(run / "checkpoints" / "candidates" / ".3.pt.partial")
    for path in stale:
        path.write_bytes(b"half")
    (run / "checkpoints" / "00000009.pt").write_bytes(b"never sealed")
    with RunFolder.open(run, write=True) as folder:
        folder.restore()
    assert not any(path.exists() for path in stale)
    assert not (run / "checkpoints" / "00000009.pt").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(folder):
    for _ in range(100):
        folder.append({"text": "x" * 2000})
        folder.save({"arm": 0, "learner": None, "seconds": 0.0})


def test_a_disk_that_is_really_full(small_disk, work, tmp_path):
    run = small_disk / "run"
    with RunFolder.create(run, "grow", {}, {}) as folder:
        (small_disk / "ballast").write_bytes(bytes((shutil.disk_usage(small_disk).free // 4096 - 1) * 4096))
        with pytest.raises(DepthprobeError, match="No space left") as caught:
            fill(folder)
        assert caught.value.exit_code == 3
    assert leftovers(small_disk) == []
    (small_disk / "ballast").unlink()
    with RunFolder.open(run, write=True) as folder:
        assert folder.restore()["arm"] == 0


def test_a_folder_that_may_only_be_read(run, tmp_path):
    done = subprocess.run(["mount", "--bind", str(run), str(run)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no folder can be made read-only here: {done.stderr.decode().strip()}")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(run)], check=True)
    try:
        with pytest.raises(RunFolderError, match="cannot be written") as caught:
            RunFolder.open(run, write=True)
        assert "Read-only" in caught.value.found
        assert "cp -r" in caught.value.hint
        assert len(list(RunFolder.open(run).records())) == 4
    finally:
        subprocess.run(["umount", str(run)], check=True)
