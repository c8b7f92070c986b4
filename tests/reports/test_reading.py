"""What is no finished run is refused with its reason; a page is written whole or not at all."""

import subprocess
import sys

import pytest

from depthprobe.errors import RunFolderError
from depthprobe.reports import render, write_report


def test_no_such_folder(tmp_path):
    with pytest.raises(RunFolderError, match=r"not a run folder(.|\n)*no such folder"):
        render([tmp_path / "none"])


def test_another_folder(tmp_path):
    with pytest.raises(RunFolderError, match=r"not a run folder(.|\n)*no config.json"):
        render([tmp_path])


def test_unfinished(make_run):
    run = make_run("my run")
    (run / "recommendation.json").unlink()
    with pytest.raises(RunFolderError, match=r"not finished(.|\n)*depthprobe resume '.*my run'"):
        render([run])


def test_unfinished_because_every_seed_failed(make_run):
    run = make_run(extra_records=[{"kind": "failure", "arm": "grow", "seed": 0, "what": "diverged: loss is nan"}])
    (run / "recommendation.json").unlink()
    with pytest.raises(RunFolderError, match="seed 0: diverged: loss is nan"):
        render([run])


@pytest.mark.parametrize("name", ["recommendation.json", "environment.json", "config.json", "records.jsonl"])
@pytest.mark.parametrize("content", [b"{", b"[]\n", b"\xff\xfe\n", b"7\n"])
def test_damaged(make_run, name, content):
    run = make_run()
    (run / name).write_bytes(content)
    with pytest.raises(RunFolderError, match=name.split(".")[0]):
        render([run])


@pytest.mark.parametrize("name", ["environment.json", "records.jsonl"])
def test_missing(make_run, name):
    run = make_run()
    (run / name).unlink()
    with pytest.raises(RunFolderError, match="missing or damaged"):
        render([run])


@pytest.mark.parametrize("change", [{"depth": None}, {"depth": {"candidates": []}}, {"control": None}, {"seeds": 3}])
def test_fields_that_are_not_what_they_should_be(make_run, change):
    with pytest.raises(RunFolderError, match="damaged"):
        render([make_run(recommendation=change)])


def test_no_measurement(make_run):
    run = make_run()
    (run / "records.jsonl").write_text("")
    with pytest.raises(RunFolderError, match="no measurement"):
        render([run])


def test_other_schema_and_other_verb(make_run):
    with pytest.raises(RunFolderError, match=r"another format(.|\n)*99"):
        render([make_run("a", config={"schema": 99})])
    with pytest.raises(RunFolderError, match=r"a run of depthprobe bake"):
        render([make_run("b", config={"command": "bake"})])


def test_a_torn_last_record_is_left_out(make_run):
    run = make_run()
    with (run / "records.jsonl").open("a") as file:
        file.write('{"kind":"tra')
    assert "</html>" in render([run])


def test_write_replaces_whole(golden, tmp_path):
    target = tmp_path / "report.html"
    target.write_text("old")
    write_report([golden], target)
    assert target.read_text(encoding="utf-8").endswith("</html>\n")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_old_page(golden, tmp_path, monkeypatch):
    from depthprobe.reports import writing

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    target = tmp_path / "report.html"
    target.write_text("old")
    monkeypatch.setattr(writing.os, "fsync", full_disk)
    with pytest.raises(RunFolderError, match="No space left"):
        write_report([golden], target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_no_folder_to_write_to(golden, tmp_path):
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_report([golden], tmp_path / "none" / "report.html")


def test_a_bad_run_writes_nothing(golden, tmp_path):
    with pytest.raises(RunFolderError):
        write_report([golden, tmp_path / "none"], tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_report_needs_no_torch(golden, tmp_path):
    code = (
        "import sys; from pathlib import Path; from depthprobe.reports import write_report\n"
        f"write_report([Path({str(golden)!r})], Path({str(tmp_path / 'r.html')!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
