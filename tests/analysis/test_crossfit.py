"""The best of several noisy measurements is worth what other examples say of it."""

import numpy as np
import pytest

from depthprobe.analysis.crossfit import cross_fit


def drawn(dice, *values, examples=400):
    return {str(value): (dice.random(examples) < value).astype(float) for value in values}


def test_one_measurement_is_taken_as_it_is():
    scores = np.array([0.0, 1.0, 1.0])
    assert cross_fit({"only": scores}) == ("only", pytest.approx(scores))


def test_equal_measurements_stay_what_they_are():
    scores = drawn(np.random.default_rng(0), 0.9)["0.9"]
    assert cross_fit({"a": scores, "b": scores})[1] == pytest.approx(scores)


def test_a_clearly_better_one_is_named_and_counts_whole():
    ways = drawn(np.random.default_rng(0), 0.5, 0.95)
    best, scores = cross_fit(ways)
    assert best == "0.95"
    assert scores == pytest.approx(ways["0.95"])


def test_the_best_of_three_equal_ones_is_not_worth_more_than_they_are():
    """The largest mean is too large by 0.85 standard errors; what is cross-fitted is right on average."""
    dice, gained, largest = np.random.default_rng(1), [], []
    for _ in range(60):
        ways = {str(i): (dice.random(400) < 0.9).astype(float) for i in range(3)}
        gained.append(cross_fit(ways)[1].mean() - 0.9)
        largest.append(max(scores.mean() for scores in ways.values()) - 0.9)
    error = np.std(gained) / len(gained) ** 0.5
    assert abs(np.mean(gained)) < 3 * error
    assert np.mean(largest) > 0.008


def test_it_is_the_same_every_time():
    ways = drawn(np.random.default_rng(2), 0.8, 0.81)
    assert (cross_fit(ways)[1] == cross_fit(ways)[1]).all()
