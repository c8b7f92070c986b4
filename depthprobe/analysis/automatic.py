"""`--tolerance auto` after the measurements: never finer than what the data turned out to resolve."""

from collections.abc import Sequence
from typing import Any

from depthprobe.analysis.decision import Decision
from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import SeedScores

# Blunter than this nobody calls two depths equal: the answer stays inconclusive. In units of `scale`.
BLUNTEST = 0.03


def decide_automatically(
    scores: Sequence[SeedScores], *, tolerance: float, scale: float = 1.0, **settings: Any
) -> Decision:
    """Decide at `tolerance`, planned before training; where the measured resolution is coarser, at that one.

    The resolution depends on how much seeds and examples scatter, not on which depth is ahead. settings: the other
    arguments of `decide`, which raises what it raises.
    """
    decision = decide(scores, tolerance=tolerance, scale=scale, **settings)
    blunter = min(decision.resolution, BLUNTEST * scale)
    if blunter <= tolerance:
        return decision
    return decide(scores, tolerance=blunter, scale=scale, **settings)
