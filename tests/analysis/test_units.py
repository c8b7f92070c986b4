"""Metrics of another scale: the rule does not change with the unit, the words do."""

import dataclasses

import numpy as np
import pytest

from depthprobe.analysis.rule import Estimate, decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.sentence import say
from depthprobe.analysis.units import Units


def scores(times):
    rng = np.random.default_rng(3)
    curve = np.array([0.80, 0.90, 0.91, 0.91])[:, None]
    return [
        SeedScores(
            seed=seed,
            candidates=times * (curve + rng.normal(0, 0.1, (4, 200))),
            control=times * (0.80 + rng.normal(0, 0.1, 200)),
            examples=str(seed),
        )
        for seed in range(3)
    ]


@pytest.mark.parametrize("times", [1000.0, 0.0625])
def test_the_rule_does_not_depend_on_the_unit(times):
    plain = decide(scores(1.0), depths=[2, 3, 4, 5], current=2, tolerance=0.03, scale=6.0)
    other = decide(scores(times), depths=[2, 3, 4, 5], current=2, tolerance=0.03 * times, scale=6.0 * times)
    assert (plain.verdict, plain.recommended, plain.range95) == (other.verdict, other.recommended, other.range95)
    assert other.gain.low == pytest.approx(times * plain.gain.low)
    assert other.candidates[1].high == pytest.approx(times * plain.candidates[1].high)
    assert other.resolution == pytest.approx(times * plain.resolution)


def test_a_sentence_of_plain_numbers():
    answer = decide(scores(1000.0), depths=[2, 3, 4, 5], current=2, tolerance=30.0, scale=6000.0)
    answer = dataclasses.replace(answer, gain=Estimate(value=104.0, low=80.0, high=128.0))
    text = say(answer, metric="neg_mae", seeds=3, failed_seeds=0, fraction=False)
    assert "neg_mae 8" in text
    assert "+104, 95 % interval +80 to +128" in text
    assert "points" not in text


@pytest.mark.parametrize(
    ("tolerance", "value"), [(0.005, "12.3457"), (0.5, "12.35"), (5.0, "12.3"), (20.0, "12"), (1e-7, "12.34567890")]
)
def test_decimals_follow_the_tolerance(tolerance, value):
    assert Units(metric="m", fraction=False, tolerance=tolerance).value(12.3456789) == value


def test_fractions_are_said_as_before():
    units = Units(tolerance=0.0119)
    assert (units.value(0.97868), units.signed(0.0432), units.size(0.0119)) == ("0.979", "+4.3 points", "1.2 points")
