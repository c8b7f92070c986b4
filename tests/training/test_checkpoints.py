"""Checkpoints are whole or not there; the run folder is staged, locked and cut back."""

import json
import logging

import pytest
import torch

from depthprobe.errors import RunFolderError
from depthprobe.runs import RunFolder
from depthprobe.training.checkpoints import checkpoints, read_checkpoint, save_checkpoint


def test_two_are_kept_and_the_newest_is_read(tmp_path):
    for number in range(5):
        save_checkpoint(tmp_path, {"number": number, "x": torch.full((3,), float(number))}, {"n": number})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "00000003.json", "00000003.pt", "00000004.json", "00000004.pt",
    ]  # fmt: skip
    assert checkpoints(tmp_path) == [4, 3]
    payload, seal = read_checkpoint(tmp_path, 4)
    assert (payload["number"], seal["n"]) == (4, 4)


def test_tensors_without_a_manifest_are_no_checkpoint(tmp_path):
    for number in range(3):
        save_checkpoint(tmp_path, {"number": number}, {})
    (tmp_path / "00000002.json").unlink()
    assert checkpoints(tmp_path) == [1]
    save_checkpoint(tmp_path, {"number": 3}, {})
    assert checkpoints(tmp_path) == [3, 1]  # what is no checkpoint does not count as one of the two


def test_a_file_with_code_in_it_is_not_run(tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return (print, ("run!",))

    save_checkpoint(tmp_path, {"trap": Trap()}, {})
    with pytest.raises(ValueError, match=r"(?i)weights.only|unsupported"):
        read_checkpoint(tmp_path, 0)
    assert capsys.readouterr().out == ""


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
    folder.save({"arm": 1})
    folder.close()
    assert [json.loads(line)["n"] for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()] == [1, 3]
    with RunFolder.open(tmp_path / "run", write=True) as folder:
        assert folder.restore()["arm"] == 1


def test_a_damaged_checkpoint_is_passed_over_with_a_line(tmp_path, caplog):
    with RunFolder.create(
        tmp_path / "run", "grow", {}, {"command_line": ["depthprobe", "grow", "--out", "run", "a b"]}
    ) as folder:
        folder.append({"n": 1})
        folder.save({"arm": 1})
    newest = tmp_path / "run" / "checkpoints" / "00000001.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    with RunFolder.open(tmp_path / "run", write=True) as folder, caplog.at_level(logging.WARNING):
        assert folder.restore()["arm"] == 0
        assert list(folder.records()) == []
    assert len(caplog.records) == 1
    assert "checkpoint 00000001 is damaged" in caplog.text
    assert not newest.exists()
    (tmp_path / "run" / "checkpoints" / "00000000.pt").write_bytes(b"")
    with RunFolder.open(tmp_path / "run", write=True) as folder, pytest.raises(RunFolderError) as caught:
        folder.restore()
    assert caught.value.hint == "depthprobe grow 'a b'"


@pytest.mark.parametrize(
    ("schema", "said"), [("99", "newer depthprobe"), ('"two"', "another format"), ("null", "another")]
)
def test_another_format_is_refused(tmp_path, schema, said):
    RunFolder.create(tmp_path / "run", "grow", {}, {}).close()
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"schema": 2', f'"schema": {schema}'))
    with pytest.raises(RunFolderError, match=said):
        RunFolder.open(tmp_path / "run")
