"""`--tolerance auto` after the measurements."""

import numpy as np
import pytest

from depthprobe.analysis.automatic import BLUNTEST, decide_automatically
from depthprobe.analysis.rule import decide
from depthprobe.analysis.simulation import World, simulate

SETTINGS = {"depths": range(1, 9), "current": 1, "resamples": 0}


def noisy(curve, rng_seed, own_share=0.6, examples=1000):
    """Three folds of networks that are wrong on a third of the examples, each on others."""
    rng = np.random.default_rng(rng_seed)
    world = World(seed_by_depth_sd=0.004)
    return simulate(
        np.asarray(curve), curve[0], examples=examples, seeds=3, folds=True, world=world, rng=rng, own_share=own_share
    )


def test_a_flat_curve_of_noisy_data_is_kept_at_the_tolerance_they_resolve():
    verdicts = []
    for draw in range(12):
        scores = noisy([0.62] * 8, draw)
        answer = decide_automatically(scores, tolerance=0.008, **SETTINGS)
        assert 0.008 < answer.tolerance <= BLUNTEST
        assert answer.tolerance == pytest.approx(min(decide(scores, tolerance=0.008, **SETTINGS).resolution, BLUNTEST))
        verdicts.append(answer.verdict)
    assert verdicts.count("keep") >= 7
    assert "deepen" not in verdicts


def test_data_that_resolve_the_planned_tolerance_are_decided_at_it():
    scores = noisy([0.90, 0.95, *[0.96] * 6], 0, own_share=0.05, examples=20_000)
    assert decide_automatically(scores, tolerance=0.01, **SETTINGS) == decide(scores, tolerance=0.01, **SETTINGS)


def test_nothing_is_decided_at_a_tolerance_that_nobody_would_call_equal():
    scores = noisy([0.62] * 8, 0, examples=60)
    assert decide_automatically(scores, tolerance=0.008, **SETTINGS).tolerance == BLUNTEST
