"""Whether advice held from scratch: judged by the difference, and never where nothing was learned."""

import numpy as np
import pytest

from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.verified import compare_verified

EXAMPLES = 1000


def scores(current, advised):
    """Two seeds; so many examples (a share) are right, the first ones."""
    table = np.stack([(np.arange(EXAMPLES) < round(share * EXAMPLES)).astype(float) for share in (current, advised)])
    return [SeedScores(seed=seed, candidates=table, control=table[0], examples="all") for seed in range(2)]


@pytest.mark.parametrize(
    ("current", "advised", "larger", "held"),
    [
        (0.9, 0.9, False, "yes"),
        (0.9, 0.95, True, "yes"),
        (0.9, 0.8, False, "no"),
        (0.1, 0.1, False, "unclear"),  # both at chance: no worse, but what was confirmed?
        (0.05, 0.1, True, "unclear"),
        (0.9, 0.1, False, "no"),
        (0.1, 0.9, True, "yes"),
    ],
)
def test_what_is_at_chance_confirms_nothing(current, advised, larger, held):
    found = compare_verified(
        scores(current, advised), larger=larger, tolerance=0.02, confidence=0.95, limits=None, floor=0.1
    )
    assert found["held"] == held


def test_without_a_floor_the_difference_decides():
    found = compare_verified(scores(0.1, 0.1), larger=False, tolerance=0.02, confidence=0.95)
    assert found["held"] == "yes"
