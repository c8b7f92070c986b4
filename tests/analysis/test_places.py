"""What copies at one place alone are worth."""

import numpy as np

from depthprobe.analysis.places import value_places
from depthprobe.analysis.scores import SeedScores


def scores_of(accuracies, control, examples=4000, seeds=3):
    """accuracies: without copies, then each place alone."""
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        draw = rng.random(examples)  # the same examples are easy for all networks
        noise = 0.002 * rng.standard_normal(len(accuracies) + 1)
        right = [(draw < a + n).astype(float) for a, n in zip([*accuracies, control], noise, strict=True)]
        rows.append(SeedScores(seed=seed, candidates=np.stack(right[:-1]), control=right[-1], examples="one fold"))
    return rows


def test_a_place_that_pays_one_that_does_not_and_one_that_the_control_explains():
    values = value_places(scores_of([0.90, 0.95, 0.90, 0.93], control=0.93), tolerance=0.01)
    assert [value.pays for value in values] == ["yes", "no", "no"]
    assert values[0].gain.low < 0.05 < values[0].gain.high
    assert abs(values[0].gain_over_control.value - 0.02) < 0.01


def test_a_gain_that_is_not_separated_is_unclear():
    values = value_places(scores_of([0.90, 0.906, 0.90], control=0.90, examples=300), tolerance=0.004)
    assert values[0].pays == "unclear"


def test_one_lucky_place_among_many_is_rarely_believed():
    lucky = 0
    for draw in range(60):
        rng = np.random.default_rng(1000 + draw)
        scores = [
            SeedScores(
                seed=seed,
                candidates=(rng.random((13, 300)) < 0.9 + 0.003 * rng.standard_normal((13, 1))).astype(float),
                control=(rng.random(300) < 0.9).astype(float),
                examples=f"fold {seed}",
            )
            for seed in range(3)
        ]
        lucky += any(value.pays == "yes" for value in value_places(scores, tolerance=0.01))
    assert lucky <= 5
