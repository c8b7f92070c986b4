"""Checkpoints are whole or not there; the run folder is staged, locked and cut back."""

import json

import pytest
import torch

from depthprobe.errors import RunFolderError
from depthprobe.runs import RunFolder
from depthprobe.training.checkpoints import load_checkpoint, save_checkpoint


def test_two_are_kept_and_the_newest_is_read(tmp_path):
    for number in range(5):
        save_checkpoint(tmp_path, {"number": number, "x": torch.full((3,), float(number))})
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["00000003.pt", "00000004.pt"]
    assert load_checkpoint(tmp_path)["number"] == 4


def test_a_torn_file_falls_back_to_the_one_before(tmp_path):
    for number in (0, 1):
        save_checkpoint(tmp_path, {"number": number})
    newest = tmp_path / "00000001.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    assert load_checkpoint(tmp_path)["number"] == 0
    newest.unlink()
    (tmp_path / "00000000.pt").write_bytes(b"")
    with pytest.raises(RunFolderError, match="no readable checkpoint"):
        load_checkpoint(tmp_path)


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("run!",))

    torch.save({"trap": Trap()}, tmp_path / "00000001.pt")
    with pytest.raises(Exception, match=r"(?i)weights.only|unsupported|no readable"):
        load_checkpoint(tmp_path)


def test_a_run_appears_whole_and_is_never_overwritten(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "grow", {"a": 1}, {"b": 2})
    assert {p.name for p in folder.path.iterdir()} == {
        "config.json",
        "environment.json",
        "records.jsonl",
        "checkpoints",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    with pytest.raises(RunFolderError, match="exists already"):
        RunFolder.create(tmp_path / "run", "grow", {}, {})
    with pytest.raises(RunFolderError, match="another process"):
        RunFolder.open(tmp_path / "run", write=True)
    folder.close()
    RunFolder.open(tmp_path / "run", write=True).close()


def test_resuming_cuts_the_records_back(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "grow", {}, {})
    folder.append({"n": 1})
    folder.save({"arm": 0})
    folder.append({"n": 2})
    folder.close()
    with (tmp_path / "run" / "records.jsonl").open("a") as file:
        file.write('{"torn')
    folder = RunFolder.open(tmp_path / "run", write=True)
    assert [r["n"] for r in folder.records()] == [1, 2]
    assert folder.restore()["arm"] == 0
    folder.append({"n": 3})
    folder.close()
    assert [json.loads(line)["n"] for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()] == [1, 3]


def test_another_format_is_refused(tmp_path):
    RunFolder.create(tmp_path / "run", "grow", {}, {}).close()
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(RunFolderError, match="another format"):
        RunFolder.open(tmp_path / "run")
