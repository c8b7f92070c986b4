"""What is said of widths: advice, budgets and verification, in percent of the channels."""

import dataclasses

import numpy as np
import pytest

from depthprobe.analysis.rule import Estimate, decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.units import Units
from depthprobe.analysis.width_sentence import say_narrowing, say_width
from depthprobe.analysis.within import check_reachable, count_kept, decide_within
from depthprobe.errors import ConfigError

UNITS = Units(metric="accuracy", fraction=True, tolerance=0.005)
CHANGES = [{"name": "conv1", "current": 64, "recommended": 26}]


def row(percent, value):
    cost = {"params": 100 * percent, "macs": 1000 * percent, "latency_ms": 0.1 * percent}
    return {"ratio": percent / 100, "value": value, "low": value - 0.01, "high": value + 0.01, **cost}


ROWS = [row(10, 0.80), row(40, 0.95), row(70, 0.951), row(100, 0.952)]


@pytest.fixture(scope="module")
def decision():
    ones = np.ones((4, 40))
    scores = [SeedScores(seed=s, candidates=ones, control=np.ones(40), examples="all") for s in range(3)]
    base = decide(scores, depths=[10, 40, 70, 100], current=100, tolerance=0.005)
    points = [Estimate(value=r["value"], low=r["low"], high=r["high"]) for r in ROWS]
    return dataclasses.replace(
        base, verdict="shrink", recommended=40, best_guess=40, range95=(40, 70), candidates=tuple(points)
    )


def within(decision, limits):
    rows, _ = count_kept(decision, ROWS, limits, (0.0, 1.0))
    return decide_within(decision, rows, limits, UNITS, lambda verdict, before, now: say_narrowing(verdict, now, False))


def test_the_advice_names_percent_and_units(decision):
    text = say_width(decision, CHANGES, units=UNITS, seeds=3, failed_seeds=1)
    assert text == (
        "Narrow to 40 % of the channels: accuracy 0.952 -> 0.950, within the tolerance of 0.5 points of the best; "
        "40 % (40-70 % in 95 % of resamples); conv1: 64 -> 26; 1 of 3 seeds failed."
    )
    uneven = say_width(decision, CHANGES, units=UNITS, seeds=3, failed_seeds=0, uneven=True, notes=["verified"])
    assert uneven.startswith("Narrow to the cost of 40 % of the channels")
    assert uneven.endswith("; verified.")


def test_a_budget_is_said_in_channels(decision):
    chosen, sentence = within(decision, {"max_params": 2000})
    assert (chosen.verdict, chosen.recommended) == ("shrink", 10)
    text = say_width(chosen, CHANGES, units=UNITS, seeds=3, failed_seeds=0, sentence=sentence)
    assert text.startswith("Within --max-params 2,000 narrow to 10 % of the channels: accuracy 0.952 -> 0.800")
    assert "without a budget these measurements say: narrow to 40 % of the channels; conv1: 64 -> 26." in text
    assert "layers" not in text


def test_the_advice_stands_where_it_fits(decision):
    assert within(decision, {"max_params": 5000}) == (decision, None)
    assert within(decision, {"keep_accuracy": 0.9505})[0].recommended == 70
    assert within(decision, {"keep_accuracy": 0.9515})[0].verdict == "keep"


def test_a_budget_nothing_meets_names_the_closest_width(decision):
    chosen, sentence = within(decision, {"max_params": 2000, "keep_accuracy": 0.9})
    assert chosen.verdict == "inconclusive"
    assert "10 % of the channels, 1,000 parameters" in sentence
    with pytest.raises(ConfigError, match="the smallest, of 10 % of the channels, has 1,000 parameters"):
        check_reachable(ROWS, {"max_params": 500})


def test_what_the_network_keeps_by_training_on_is_not_bought_with_size(decision):
    """The control, the present network trained on, counts where an accuracy is to be kept."""
    better = Estimate(value=0.97, low=0.96, high=0.98)
    trained_on = dataclasses.replace(decision, control=better, current=10)
    chosen, sentence = within(trained_on, {"keep_accuracy": 0.94})
    assert (chosen.verdict, chosen.recommended) == ("keep", 10)
    assert "accuracy 0.970 (0.960 to 0.980)" in sentence
    worse = dataclasses.replace(trained_on, control=Estimate(value=0.7, low=0.6, high=0.8))
    assert within(worse, {"keep_accuracy": 0.94})[0].recommended == 40
