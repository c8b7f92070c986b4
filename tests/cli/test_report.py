"""depthprobe report: a page, a comparison, the terminal, a table of all records."""

import csv
import json
import shutil
from pathlib import Path

import pytest

FINISHED = Path(__file__).parents[1] / "reports" / "finished"
VERBS = ("grow", "full", "shrink", "shrink-now", "width", "width-now")


@pytest.fixture
def runs(tmp_path):
    shutil.copytree(FINISHED, tmp_path / "runs")
    return {name: tmp_path / "runs" / name for name in VERBS}


def test_a_report_rewrites_its_page_and_nothing_else(cli, runs):
    before = {path: path.read_bytes() for path in runs["grow"].iterdir()}
    code, out, _ = cli("report", runs["grow"])
    assert (code, out.strip()) == (0, str(runs["grow"] / "report.html"))
    after = {path: path.read_bytes() for path in runs["grow"].iterdir()}
    assert after.keys() - before.keys() == {runs["grow"] / "report.html"}
    assert {path: after[path] for path in before} == before


def test_two_runs_need_a_page_of_their_own(cli, runs, tmp_path):
    code, _, err = cli("report", runs["grow"], runs["shrink"])
    assert code == 2
    assert "--out comparison.html" in err
    code, out, _ = cli("report", runs["grow"], runs["shrink"], "--out", tmp_path / "both.html")
    assert (code, out.strip()) == (0, str(tmp_path / "both.html"))
    assert "2 runs side by side" in (tmp_path / "both.html").read_text(encoding="utf-8")


def test_nothing_is_overwritten(cli, runs, tmp_path):
    target = tmp_path / "there"
    target.write_text("mine")
    for option in ("--out", "--csv"):
        code, _, err = cli("report", runs["grow"], option, target)
        assert code == 2
        assert "exists already" in err
    assert target.read_text() == "mine"


@pytest.mark.parametrize("verb", VERBS)
def test_the_terminal_says_what_the_page_says(cli, runs, verb):
    """Every number of every table, plain where it is piped; the folder is left as it was."""
    from depthprobe.reports import read_runs, view_runs
    from depthprobe.reports.sections import sections_of

    code, out, _ = cli("report", runs[verb], "--text")
    assert code == 0
    assert "\x1b" not in out
    assert not (runs[verb] / "report.html").exists()
    (view,) = view_runs(read_runs([runs[verb]]))
    said = " ".join(out.split())
    assert view.answer.sentence in said
    for text in (*view.answer.warnings, *view.answer.notes, view.network.summary):
        assert text.replace("\u00a0", " ") in said
    assert all(f"config.json, {name}: " in out for name in json.loads(view.config))
    for section in sections_of(view):
        assert section.title in out
        for one in section.exhibits:
            for table in one.tables:
                for row in table.rows:
                    for cell in row.cells:
                        assert cell.split("\n")[0].replace("\u00a0", " ") in out.replace("\u00a0", " ")


def test_several_runs_on_the_terminal_begin_with_their_comparison(cli, runs):
    code, out, _ = cli("report", runs["grow"], runs["full"], "--text")
    assert code == 0
    assert out.index("2 runs side by side") < out.index("Deepen from")
    assert out.index("all runs") < out.index("Deepen from")


def test_names_are_no_markup(cli, runs):
    path = runs["grow"] / "recommendation.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "sentence": "[/x] [red]boo[/red]", "notes": ["[/x]"]}))
    code, out, _ = cli("report", runs["grow"], "--text")
    assert code == 0
    assert "[/x] [red]boo[/red]" in out


def test_every_record_is_a_row(cli, runs, tmp_path):
    target = tmp_path / "records.csv"
    code, out, _ = cli("report", runs["full"], "--csv", target)
    assert code == 0
    assert out.split() == [str(target), str(runs["full"] / "report.html")]
    records = [json.loads(line) for line in (runs["full"] / "records.jsonl").read_text().splitlines()]
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert row["kind"] == record["kind"]
        assert row["value"] == ("" if "value" not in record else str(record["value"]))
        assert row["arm"] == record.get("arm", "")
    ratios = next(record for record in records if record.get("ratios"))["ratios"]
    assert sum(name.startswith("ratio of ") for name in rows[0]) == len(ratios)


def test_text_writes_no_page(cli, runs, tmp_path):
    code, _, err = cli("report", runs["grow"], "--text", "--out", tmp_path / "page.html")
    assert code == 2
    assert "--text" in err
