"""The view model says what the run says."""

import json
from dataclasses import replace

import pytest

from depthprobe.reports.reading import read_run
from depthprobe.reports.sections import sections_of
from depthprobe.reports.summary import view_run


@pytest.fixture
def view(golden):
    return view_run(read_run(golden))


def test_candidates_are_the_measured_ones(view):
    rows = view.curve.candidates
    assert [row.depth for row in rows] == [3, 4, 5, 6, 7]
    assert [row.added for row in rows] == [0, 1, 2, 3, 4]
    assert rows[2].score.value == pytest.approx(0.9787, abs=1e-4)
    assert (rows[2].params, rows[2].macs, rows[2].latency_ms) == (7290, 451744, 0.8244)


def test_candidates_that_another_one_beats_are_marked(make_run):
    run = make_run()
    path = run / "recommendation.json"
    answer = json.loads(path.read_text())
    for row in answer["depth"]["candidates"]:
        row["pareto"] = row["depth"] != 7
    path.write_text(json.dumps(answer))
    rows = view_run(read_run(run)).curve.candidates
    assert [row.depth for row in rows if row.pareto is False] == [7]


def test_depths_tolerance_and_control(view):
    curve = view.curve
    assert (curve.current, curve.recommended, curve.best_guess) == (3, 5, 5)
    assert curve.floor == pytest.approx(0.98519 - 0.0119, abs=1e-5)
    assert curve.control.value == pytest.approx(0.96019, abs=1e-5)


def test_walks_agree_with_the_answer(view):
    """The mean over seeds of the walk down is the estimate that the answer states."""
    for index, row in enumerate(view.curve.candidates):
        downs = [walk.down[index] for walk in view.curve.walks]
        assert {depth for depth, _ in downs} == {row.depth}
        assert sum(value for _, value in downs) / 3 == pytest.approx(row.score.value)
    assert view.curve.up[0] == (3, pytest.approx((0.87778 + 0.87222 + 0.83333) / 3, abs=1e-4))


def test_of_two_starts_the_one_that_counted_is_shown_and_of_controls_the_last(finished):
    """Shrink trains a depth from two starts with the first seed, and the whole network again where the first try was
    lost or is what was made smaller.
    """
    run = read_run(finished["shrink"])

    def record(arm, walk, depth, value):
        about = {"kind": "measurement", "seed": 0, "opened": 1, "step": 9, "examples": 360, "valid_id": "v"}
        return {**about, "arm": arm, "walk": walk, "depth": depth, "value": value}

    records = (
        record("control", "control", 7, 0.1),
        record("control, rate x 0.3", "control", 7, 0.8),
        record("at 4 layers", "down", 4, 0.7),
        record("at 4 layers, drawn anew", "down", 4, 0.75),
        record("at 5 layers, drawn anew", "down", 5, 0.9),
        record("at 5 layers", "down", 5, 0.85),
        record("control, once more", "control, once more", 7, 0.87),
    )
    answer = json.loads(json.dumps(run.recommendation))
    answer["depth"]["arms"] = {"4": "at 4 layers", "5": "at 5 layers, drawn anew"}
    shown = view_run(replace(run, records=records, recommendation=answer)).curve.walks[0]
    assert shown.down == ((4, 0.7), (5, 0.9))
    assert shown.control == 0.87
    assert view_run(replace(run, records=records[:-1], recommendation=answer)).curve.walks[0].control == 0.8


def test_course_shares_maps_of_equal_seeds(view):
    assert {(line.seed, line.arm) for line in view.course.lines} == {
        (s, a) for s in range(3) for a in ("grow", "control")
    }
    assert [gates.seeds for gates in view.course.gates] == [(0, 2), (1,)]
    assert len(view.course.gates[0].ratios) == 4
    assert sum(mark.walk == "up" for mark in view.course.marks) == 15


def test_a_seed_that_stopped_early_shares_its_map(make_run):
    run = make_run()
    path = run / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    early = [r for r in records if (r["kind"], r["arm"], r["seed"]) != ("trace", "grow", 2) or r["step"] < 1000]
    assert len(early) < len(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in early))
    assert [gates.seeds for gates in view_run(read_run(run)).course.gates] == [(0, 2), (1,)]


def test_certainty_lists_every_candidate(view):
    sure = view.certainty
    assert sure.shares == ((3, 0.0), (4, 0.228), (5, 0.266), (6, 0.505), (7, 0.001))
    assert sure.range95 == (4, 6)
    assert [label for label, _ in sure.gains] == ["over the current depth", "over the control"]


def test_deepen_says_which_unit_gets_copies(view):
    assert [(a.after, a.copies) for a in view.answer.additions] == [("0", 2)]
    assert {tile.label: tile.value for tile in view.answer.tiles} == {
        "Depth": "3 → 5 layers",
        "Gain over the current depth": "+4.3 points",
        "Gain over the control": "+2.1 points",
        "Test accuracy": "0.986",
    }


def test_costs_before_and_after(view, finished):
    assert {tile.label: tile.value for tile in view.answer.costs} == {
        "Accuracy": "0.938 → 0.979",
        "Parameters": "2,650 → 7,290",
        "MACs": "157\u00a0k → 452\u00a0k",
        "Latency": "0.374 → 0.824",
    }
    full = {tile.label: tile for tile in view_run(read_run(finished["full"])).answer.costs}
    assert full["Memory"].value == "8.14\u00a0kB → 27.9\u00a0kB"
    assert full["Memory"].detail == "×3.4, weights, counted"


def test_keep_says_there_is_nothing_to_gain(keep_run):
    answer = view_run(read_run(keep_run)).answer
    assert "nothing to gain" in answer.meaning
    assert "1.2 points" in answer.meaning
    assert answer.additions == ()


def test_inconclusive_says_what_would_settle_it(open_run):
    view = view_run(read_run(open_run))
    assert view.curve.recommended is None
    assert [step.code for step in view.answer.steps] == [
        "--seeds 7",
        None,
    ]  # 3 * (0.015 / 0.010)^2, rounded up
    assert view.answer.tiles[0].value == "3 → ?"


def test_a_failed_seed_is_shown_and_averaged_nowhere(open_run):
    view = view_run(read_run(open_run))
    assert view.answer.warnings == (
        "Seed 2 failed in the grow arm: collapsed at 7 layers. Not in any number of the answer.",
        "The control, which only trained as long, may be as good as growth: +1.0 points over it (−0.5 to +2.5).",
    )
    assert view.answer.notes == ("the gain over the control is not separated from zero",)
    assert [walk.failed for walk in view.curve.walks] == [False, False, True]
    assert view.curve.up[0][1] == pytest.approx((0.87778 + 0.87222) / 2, abs=1e-4)
    assert view.curve.floor == pytest.approx(0.981 - 0.0119)  # the fitted curve decides


def test_facts_repeat_the_run(view):
    facts = {fact.label: fact.value for fact in view.facts}
    assert facts["Command"].endswith("'dict(copies=2)' '{}'")  # quoted for a shell
    assert facts["Seeds"] == "0, 1 and 2; failed: none"
    assert facts["Validation"] == "split seed 0; 360 examples, 3 different sets, one per seed"
    assert "4.59 conventional trainings" in facts["Cost"]
    assert "1,048,320 sample passes" in facts["Cost"]
    assert "torch 2.13.0+cpu" in facts["Versions"]


@pytest.mark.parametrize(
    "change",
    [
        {"depth": {"range95": None, "resamples": {}}},
        {"gain": {"over_control": {"value": 0.0, "low": 0.0, "high": 0.0}}},
        {"test": None},
        {"resolution": 0.0},
    ],
)
def test_what_may_be_absent_is_left_out(make_run, change):
    from depthprobe.reports import render

    assert "<title>" in render([make_run(recommendation=change)])


def test_a_model_from_python_has_its_class_name(make_run):
    run = make_run(config={"model": {"spec": "<python>", "class": "shop.nets.Tiny", "structure": "ab12"}})
    view = view_run(read_run(run))
    assert view.model == "Tiny"
    assert view.facts[1].value == "shop.nets.Tiny"


def test_where_a_budget_decided_nothing_is_promised_of_the_tolerance(keep_run):
    path = keep_run / "recommendation.json"
    answer = json.loads(path.read_text())
    path.write_text(json.dumps({**answer, "sentence": "Within --max-params 2,500 shrink from 6 to 2 layers: ..."}))
    view = view_run(read_run(keep_run))
    assert view.answer.meaning.startswith("A budget decided")
    caption = sections_of(view)[0].exhibits[0].caption
    assert "what the budget allows" in caption
    assert "tolerance" not in caption
