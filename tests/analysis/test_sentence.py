"""One plain sentence for every verdict."""

import dataclasses

import numpy as np
import pytest

from depthprobe.analysis.rule import Estimate, decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.sentence import say


@pytest.fixture(scope="module")
def decision():
    ones = np.ones((3, 40))
    scores = [SeedScores(seed=s, candidates=ones, control=np.ones(40), examples="all") for s in range(3)]
    base = decide(scores, depths=[2, 3, 4], current=2, tolerance=0.005)
    points = [Estimate(value=v, low=v - 0.01, high=v + 0.01) for v in (0.956, 0.97, 0.974)]
    gain = Estimate(value=0.018, low=0.012, high=0.024)
    return dataclasses.replace(
        base, candidates=tuple(points), gain=gain, gain_over_control=gain, range95=(3, 4), reasons=("why",)
    )


def test_deepen(decision):
    answer = dataclasses.replace(decision, verdict="deepen", recommended=4, best_guess=4)
    assert say(answer, seeds=3, failed_seeds=0) == (
        "Deepen from 2 to 4 layers: accuracy 0.956 -> 0.974 (gain +1.8 points, 95 % interval +1.2 to +2.4"
        " and +1.8 points over the control); 4 layers (3-4 in 95 % of resamples)."
    )


def test_the_confidence_is_the_one_that_was_asked_for(decision):
    answer = dataclasses.replace(decision, verdict="deepen", recommended=4, best_guess=4, confidence=0.8)
    assert "(gain +1.8 points, 80 % interval +1.2 to +2.4" in say(answer, seeds=3, failed_seeds=0)


def test_failed_seeds_and_notes_are_in_the_sentence(decision):
    answer = dataclasses.replace(decision, verdict="keep", gain=Estimate(value=0.0, low=-0.002, high=0.002))
    text = say(answer, unit="block", seeds=3, failed_seeds=1, notes=["diverged at p = 0.8"])
    assert text.startswith("Keep 2 blocks: nothing to gain")
    assert text.endswith("; 1 of 3 seeds failed; diverged at p = 0.8.")
    assert ". " not in text


def test_keep_says_that_training_longer_does_it_too(decision):
    nothing = Estimate(value=0.0, low=-0.002, high=0.002)
    text = say(dataclasses.replace(decision, gain_over_control=nothing), seeds=3, failed_seeds=0)
    assert "so does training longer at this depth" in text


def test_shrink(decision):
    answer = dataclasses.replace(decision, verdict="shrink", current=4, recommended=3, best_guess=3)
    assert say(answer, seeds=3, failed_seeds=0).startswith("Shrink from 4 to 3 layers: accuracy 0.974 -> 0.970")


def test_inconclusive_gives_the_reason_and_the_resolution(decision):
    answer = dataclasses.replace(decision, verdict="inconclusive", recommended=None, resolution=0.011)
    text = say(answer, seeds=3, failed_seeds=2)
    assert text.startswith("Inconclusive: why; the best guess is 2 layers")
    assert "1.1 points" in text
    assert "2 of 3 seeds failed" in text
