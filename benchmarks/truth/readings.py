"""The two readings of truth of one case, from its stored sweep: accuracies per depth with failures apart, and d*."""

from dataclasses import dataclass

import numpy as np

from depthprobe.analysis.choice import Chooser
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.spread import Spread, estimate_spread
from truth.cases import DEPTHS, INITS, SEEDS, Case
from truth.sweep import GROWN_INIT, Store, unpack

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Truth:
    """One reading. recipes: per depth which training counts; failed: per depth how many seeds failed; means, low,
    high: per depth on held-out data; curve: smoothed as the rule smooths; clears: the smallest depth that the guarded
    rule accepts (None: none); guess: the smallest within 0.8 tolerance of the best of the curve.
    """

    recipes: tuple[str, ...]
    failed: tuple[int, ...]
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray
    curve: np.ndarray
    clears: int | None
    guess: int

    def regret(self, depth: int) -> float:
        """How far `depth` lies below the best, on the smoothed curve."""
        return float(self.curve.max() - self.curve[DEPTHS.index(depth)])

    def raw_regret(self, depth: int) -> float:
        """The same on the means as they are: the best of eight noisy means is too high."""
        return float(self.means.max() - self.means[DEPTHS.index(depth)])


def read_truth(case: Case, store: Store, reading: str, tolerance: float, sizes) -> Truth:
    """reading: "trainable" (the better of the inits at every depth, by validation data) or "grown"; sizes: (validation,
    test) examples.
    """
    recipes, chosen = [], []
    for depth in DEPTHS:
        name, rows = best_recipe(store, depth, reading)
        recipes.append(name)
        chosen.append(rows)
    failed = tuple(sum(has_failed(row, store) for row in rows) for rows in chosen)
    tables = [[held_out(row, case, sizes) for row in rows] for rows in chosen]
    for rows, table in zip(chosen, tables, strict=True):
        good = [t for t, row in zip(table, rows, strict=True) if not has_failed(row, store)]
        for rank, row in enumerate(rows):
            if has_failed(row, store) and good:
                table[rank] = np.mean(good, axis=0)  # shown apart, not averaged in
    scores = [
        SeedScores(
            seed=seed, candidates=np.stack([t[rank] for t in tables]), control=tables[0][rank], examples="held out"
        )
        for rank, seed in enumerate(SEEDS)
    ]
    return judge(tuple(recipes), failed, estimate_spread(scores), tolerance)


def judge(recipes, failed, spread: Spread, tolerance: float) -> Truth:
    """The deciding rule on a sweep."""
    cov = spread.cov[:-1, :-1]
    far = spread.far[:-1]
    chooser = Chooser(DEPTHS, cov, spread.df, tolerance=tolerance, bias=0.0, confidence=CONFIDENCE, far=far)
    choice = chooser.choose(spread.means[None, :-1])
    ends = np.array([spread.interval(column, CONFIDENCE) for column in range(len(DEPTHS))])
    chosen = int(choice.chosen[0])
    return Truth(
        recipes=recipes,
        failed=failed,
        means=spread.means[:-1],
        low=ends[:, 0],
        high=ends[:, 1],
        curve=choice.curve[0],
        clears=DEPTHS[chosen] if chosen >= 0 else None,
        guess=DEPTHS[int(choice.guess[0])],
    )


def best_recipe(store: Store, depth: int, reading: str):
    """(name, its rows by seed): fewest failures, then best mean validation accuracy of the others."""
    kind = "grown" if reading == "grown" and depth > 1 else "scratch"
    inits = (GROWN_INIT,) if kind == "grown" else INITS
    options = {init: rows_of(store, kind, init, depth) for init in inits}

    def merit(init: str):
        good = [row["valid"] for row in options[init] if not has_failed(row, store)]
        return len(good), float(np.mean(good)) if good else 0.0

    best = max(inits, key=merit)
    return best, options[best]


def rows_of(store: Store, kind: str, init: str, depth: int):
    """Rows of the three seeds, in order."""
    rows = [store.find(kind=kind, init=init, depth=depth, seed=seed) for seed in SEEDS]
    missing = [seed for seed, row in zip(SEEDS, rows, strict=True) if row is None]
    if missing:
        raise SystemExit(f"the sweep is not finished: {kind} {init} depth {depth} seeds {missing}: run `sweep` first")
    return rows


def has_failed(row, store: Store) -> bool:
    """Diverged, or learned less than half of the best training of its kind that is no deeper (chance: 0.1)."""
    best = max(r["valid"] for r in store.rows if r["kind"] in ("scratch", row["kind"]) and r["depth"] <= row["depth"])
    return row["diverged"] is not None or row["valid"] - 0.1 < (best - 0.1) / 2


def held_out(row, case: Case, sizes):
    """Scores of the examples that truth is read on: the test split; for digits the validation fold is added."""
    test = unpack(row["test_bits"], sizes[1])
    return np.concatenate([unpack(row["valid_bits"], sizes[0]), test]) if case.data == "digits" else test
