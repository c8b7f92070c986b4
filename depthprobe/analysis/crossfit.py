"""Cross-fitting: what the best of several measurements is worth, on examples that did not choose it."""

from collections.abc import Mapping

import numpy as np

from depthprobe.analysis.scores import FloatArray

SPLITS = 200


def cross_fit(ways: Mapping[str, FloatArray]) -> tuple[str, FloatArray]:
    """(the way that is best most often, (N,) scores): which way is best is decided on one half of the examples and
    its scores are read on the other, the halves changed about; mean over 200 splits, always the same ones.

    ways: name -> (N,) per-example scores, all of the same examples, N at least 2. The largest of several noisy means is
    too large by about one standard error; a bar that is too high keeps layers that could go.
    """
    names, table = list(ways), np.stack(list(ways.values()))
    if len(names) == 1:
        return names[0], table[0]
    dice, count = np.random.default_rng(0), table.shape[1]
    total, picks = np.zeros(count), np.zeros(len(names), dtype=int)
    for _ in range(SPLITS):
        order = dice.permutation(count)
        halves = order[: count // 2], order[count // 2 :]
        for chooses, reads in (halves, halves[::-1]):
            best = int(table[:, chooses].mean(1).argmax())
            total[reads] += table[best, reads]
            picks[best] += 1
    return names[int(picks.argmax())], total / SPLITS
