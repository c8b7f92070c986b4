"""Sections and warnings: what a run has is shown, what it has not is left out, whatever its numbers are."""

import json
import math
import shutil

import pytest

from depthprobe.reports import read_runs, render, view_runs
from depthprobe.reports.sections import sections_of
from depthprobe.reports.tables import Table


def view_of(folder):
    (view,) = view_runs(read_runs([folder]))
    return view


def names_of(view):
    return [one.name for section in sections_of(view) for one in section.exhibits]


@pytest.fixture
def change(finished, tmp_path):
    """change(name, stem, edit) -> a copy of a finished run, one of its JSON files edited in place."""

    def make(name, stem, edit):
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(finished[name], folder)
        path = folder / f"{stem}.json"
        document = json.loads(path.read_text())
        edit(document)
        path.write_text(json.dumps(document))
        return folder

    return make


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("grow", ["depth", "costs", "shares", "gains", "course", "loss", "range"]),
        ("full", ["depth", "costs", "shares", "gains", "verified", "rates", "places", "course", "loss"]),
        ("shrink", ["depth", "costs", "ranking", "shares", "gains", "course", "loss"]),
        ("shrink-now", ["depth", "costs", "ranking", "shares", "gains", "verified", "course", "loss"]),
        ("width", ["depth", "costs", "widths", "shares", "gains", "course", "loss"]),
        ("width-now", ["depth", "costs", "widths", "shares", "gains", "verified", "course", "loss"]),
    ],
)
def test_every_measurement_of_a_run_has_its_exhibit(finished, verb, expected):
    assert names_of(view_of(finished[verb])) == expected


@pytest.mark.parametrize(
    ("verb", "arms"),
    [
        ("shrink-now", ["control", "shrink", "at 2 layers", "verify current", "verify advised"]),
        ("width-now", ["control", "width", "verify current", "verify advised"]),
        ("full", ["grow", "control", "verify current", "verify advised"]),
    ],
)
def test_every_training_that_decides_has_its_line(finished, verb, arms):
    """Of every seed; those at other rates have a figure of their own."""
    course = view_of(finished[verb]).course
    drawn = [line.arm for line in course.lines if line.seed == 0]
    assert set(arms) <= set(drawn)
    assert len(drawn) == len(set(drawn))
    assert not {mark.walk for mark in course.marks} & set(arms[-2:])  # they have a section, and other depths
    assert any(mark.hold for mark in course.marks)
    assert not any(mark.hold for mark in course.marks if mark.walk == "control")


def test_a_page_says_whether_time_falls_as_multiply_accumulates_do(finished, change):
    """0.8 times as much is what is promised; what a recommendation of an older run does not say is left out."""
    promised = {"before": 2.0, "after": 1.2, "macs_saved": 0.5, "time_saved": 0.4, "as_promised": True}
    short = {**promised, "after": 1.24, "time_saved": 0.38, "as_promised": False}
    said = [
        view_of(change("shrink-now", "recommendation", lambda d, s=s: d["depth"].update(speed_ms=s))).answer.notes[0]
        for s in (promised, short)
    ]
    assert said[0] == "2.00 -> 1.20 ms per batch (40 % less) for 50 % fewer multiply-accumulates"
    assert said[1].startswith("2.00 -> 1.24 ms per batch (38 % less) for 50 % fewer multiply-accumulates: less than")
    assert not any("multiply-accumulates" in note for note in view_of(finished["grow"]).answer.notes)


@pytest.mark.parametrize("verb", ["grow", "full", "shrink", "shrink-now", "width", "width-now"])
def test_tables_are_rectangular_and_figures_have_data(finished, verb):
    for section in sections_of(view_of(finished[verb])):
        for one in section.exhibits:
            figure = one.draw()
            assert figure.label
            assert json.loads(figure.to_json())["data"]
            for table in one.tables:
                assert isinstance(table, Table)
                assert table.caption
                assert {len(row.cells) for row in table.rows} == {len(table.columns)}


def test_verified_rates_and_places_say_what_was_found(finished):
    view = view_of(finished["full"])
    assert view.verified.held == "yes"
    assert [(row.name, row.verdict, row.best_guess) for row in view.rates] == [
        ("a third of the rate", "deepen", 6),
        ("three times the rate", "keep", 3),
    ]
    assert [(one.place, one.copies, one.pays) for one in view.places] == [("0", 2, "yes"), ("3", 2, "no")]


def test_warnings_of_a_run_whose_answer_depends_on_the_rate(finished):
    assert view_of(finished["full"]).answer.warnings == (
        "The intervals of 3 layers and 6 layers overlap: the advice rests on the gain within seeds and examples.",
        "The answer depends on the learning rate: at three times the rate it is keep, 3 layers.",
    )


@pytest.mark.parametrize(("held", "word"), [("no", "does not keep"), ("unclear", "does not settle")])
def test_advice_that_did_not_hold_is_a_warning(change, held, word):
    run = change("full", "recommendation", lambda answer: answer["verified"].update(held=held))
    assert any(word in warning for warning in view_of(run).answer.warnings)


def test_seeds_that_failed_elsewhere_are_counted(change):
    def fail(answer):
        answer["sensitivity"][1].update(verdict="failed", best_guess=None, failed_seeds=[0, 1])
        del answer["sensitivity"][1]["values"]

    page = render([change("full", "recommendation", fail)])
    assert "failed; 2 of 2 seeds failed" in page


@pytest.mark.parametrize("verb", ["grow", "shrink", "width"])
def test_an_open_answer_costs_its_best_guess(change, verb):
    def leave_open(answer):
        answer.update(verdict="inconclusive", add=[], remove=[])
        answer["width" if verb == "width" else "depth"]["recommended"] = None
        for unit in answer["width"]["units"]:
            unit["recommended"] = None

    view = view_of(change(verb, "recommendation", leave_open))
    assert view.answer.costs[0].detail.startswith("best guess, not advised")
    assert not view.network.changed
    assert "</html>" in render([change(verb, "recommendation", leave_open)])


def test_a_metric_below_zero(change):
    """Mean squared errors, negated: no fraction, no points."""

    def rescale(answer):
        answer.update(metric="neg_mse", fraction=False, tolerance=0.5)
        for row in (*answer["depth"]["candidates"], answer["control"]):
            for key in ("value", "low", "high"):
                row[key] = -20 * (1 - row[key])

    view = view_of(change("grow", "recommendation", rescale))
    assert view.answer.costs[0].label == "neg_mse"
    assert "points" not in " ".join(
        cell for row in sections_of(view)[0].exhibits[0].tables[0].rows for cell in row.cells
    )


def test_a_loss_that_is_no_number_is_left_out(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished["grow"], folder)
    path = folder / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    traces = [record for record in records if record["kind"] == "trace"]
    traces[3]["loss"], traces[4]["loss"] = math.nan, math.inf
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    line = view_of(folder).course.lines[0]
    assert len(line.losses) == len(line.steps) - 2
    assert all(math.isfinite(loss) for loss in line.losses)
    assert "NaN" not in render([folder]).split("plotly.js")[0]


def test_a_run_without_traces_has_no_course(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished["grow"], folder)
    path = folder / "records.jsonl"
    kept = [line for line in path.read_text().splitlines(keepends=True) if '"trace"' not in line]
    path.write_text("".join(kept))
    assert names_of(view_of(folder)) == ["depth", "costs", "shares", "gains", "range"]
    assert "</html>" in render([folder])


def test_runs_of_the_same_name_are_told_apart(finished, tmp_path):
    from depthprobe.reports.compare import comparison_exhibits, comparison_table, labels

    twin = tmp_path / "grow"
    shutil.copytree(finished["grow"], twin)
    views = view_runs(read_runs([finished["grow"], twin, finished["width"]]))
    assert labels(views) == ["grow (1)", "grow (2)", "width"]
    assert [row.cells[0] for row in comparison_table(views).rows] == labels(views)
    (one,) = comparison_exhibits(views)
    assert one.tables[0].columns == ("Depth", "grow (1)", "grow (2)")


def test_gates_named_by_numbers_are_rows_of_their_own(finished):
    """Unit names such as "0" and "10" are names, not places on an axis."""
    view = view_of(finished["shrink"])
    course = next(one for section in sections_of(view) for one in section.exhibits if one.name == "course")
    layout = json.loads(course.draw().to_json())["layout"]
    assert layout["yaxis2"]["type"] == "category"
