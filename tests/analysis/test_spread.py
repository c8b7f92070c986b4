"""The estimated variances agree with the scatter they claim to describe."""

import numpy as np
import pytest

from depthprobe.analysis.resampling import smallest_range
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.simulation import World, simulate
from depthprobe.analysis.spread import estimate_spread


@pytest.mark.parametrize(("examples", "folds"), [(360, True), (720, False)])
@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_differences_scatter_as_estimated(examples, folds, shared):
    world, rng = World(shared=shared), np.random.default_rng(5)
    own_share, curve = world.latent_share(), np.full(8, 0.97)
    spreads = [
        estimate_spread(
            simulate(
                curve,
                0.97,
                examples=examples,
                seeds=3,
                folds=folds,
                world=world,
                rng=rng,
                own_share=own_share,
            )
        )
        for _ in range(400)
    ]
    contrast = np.eye(9)[2] - np.eye(9)[5]
    measured = np.std([contrast @ one.means for one in spreads])
    claimed = np.sqrt(np.mean([contrast @ one.cov @ contrast for one in spreads]))
    # The prior (0.3 points where the truth is 0.25) and the cut at zero err on the careful side.
    assert 0.93 < claimed / measured < 1.25
    covered = [low <= 0.97 <= high for low, high in (one.interval(4, 0.95) for one in spreads)]
    assert 0.91 < np.mean(covered) < 0.995


def test_shared_folds_in_part_lie_between_all_and_none():
    world, rng = World(), np.random.default_rng(1)
    scores = simulate(
        np.full(4, 0.9),
        0.9,
        examples=500,
        seeds=4,
        folds=True,
        world=world,
        rng=rng,
        own_share=world.latent_share(),
    )
    spread = estimate_spread(scores)
    assert np.linalg.eigvalsh(spread.cov).min() > 0
    assert spread.means == pytest.approx(np.mean([[*one.candidates.mean(1), one.control.mean()] for one in scores], 0))


def test_the_smallest_range_is_the_smallest():
    shares = {2: 0.02, 3: 0.9, 4: 0.06, 8: 0.02}
    assert smallest_range(shares, advised=3) == (3, 4)
    assert smallest_range(shares, advised=8) == (3, 8)
    assert smallest_range({3: 1.0}, advised=3) == (3, 3)
    assert smallest_range({3: 1.0}, advised=4) == (3, 4)


def test_the_gain_over_a_depth_far_below_is_covered_though_that_depth_scatters_on_its_own():
    covered = 0
    for draw in range(150):
        rng = np.random.default_rng(draw)
        accuracy = np.array([0.90, *[0.97] * 5, 0.90])  # the current depth, deeper ones, the control
        scores = []
        for seed in range(3):
            moved = accuracy + rng.normal(0, 0.0025, 7) + np.array([rng.normal(0, 0.03), 0, 0, 0, 0, 0, 0])
            right = (rng.random((7, 1000)) < moved[:, None]).astype(float)
            scores.append(SeedScores(seed=seed, candidates=right[:-1], control=right[-1], examples=f"fold {seed}"))
        spread = estimate_spread(scores)
        contrast = np.array([-1.0, *[0.2] * 5, 0.0])
        gain = float(contrast @ spread.means)
        covered += abs(gain - 0.07) <= spread.margin(contrast, 0.95)
    assert covered >= 0.85 * 150
