"""What a careful user would do instead, answered from the stored sweep and billed like the probe.

All decide on validation accuracy (means over the same three seeds, default init) and pay for what they train, in
multiply-accumulates; `shares` of a training are paid where it is stopped early.
"""

import warnings

import numpy as np

from truth.cases import DEPTHS, SEEDS
from truth.readings import rows_of
from truth.sweep import MARKS, Store

TRIALS = 24


class Sweep:
    """Validation courses (8 depths, 3 seeds, marks) and prices (one per depth and training) of the default recipe."""

    def __init__(self, store: Store) -> None:
        rows = [rows_of(store, "scratch", "default", depth) for depth in DEPTHS]
        full = len(MARKS)
        self.course = np.array([[(row["course"] + [0.1] * full)[:full] for row in three] for three in rows])
        self.price = np.array([three[0]["macs"] for three in rows])

    @property
    def cost(self) -> float:
        """The whole sweep."""
        return float(self.price.sum()) * len(SEEDS)

    def final(self, rank: int) -> float:
        return float(self.course[rank, :, -1].mean())


def bisection(sweep: Sweep, tolerance: float):
    """Smallest depth not worse than the best seen by more than 0.8 tolerance: (depth, cost)."""
    low, high, seen = 0, len(DEPTHS) - 1, {}

    def look(rank: int) -> float:
        return seen.setdefault(rank, sweep.final(rank))

    look(high)
    while low < high:
        middle = (low + high) // 2
        if look(middle) >= max(seen.values()) - 0.8 * tolerance:
            high = middle
        else:
            low = middle + 1
    look(low)
    return DEPTHS[low], float(sum(sweep.price[rank] for rank in seen)) * len(SEEDS)


def halving(sweep: Sweep, tolerance: float):
    """Successive halving: all depths to 1/8 of the budget, the better half to 1/4, and so on: (depth, cost)."""
    alive, cost, paid = list(range(len(DEPTHS))), 0.0, 0.0
    for mark in (0, 1, 2, 4):
        cost += (MARKS[mark] - paid) * float(sweep.price[alive].sum()) * len(SEEDS)
        paid = MARKS[mark]
        ranked = sorted(alive, key=lambda rank: -sweep.course[rank, :, mark].mean())
        alive = sorted(ranked[: max(1, len(alive) // 2)])
    return DEPTHS[alive[0]], cost


def optuna_tpe(sweep: Sweep, tolerance: float, sampler_seed: int = 0):
    """Optuna's TPE with its median pruner over `depth`, one seed per trial, nothing trained twice: (depth, cost)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    done: dict[tuple[int, int], float] = {}
    left = {rank: list(range(len(SEEDS))) for rank in range(len(DEPTHS))}

    def objective(trial: optuna.Trial) -> float:
        rank = trial.suggest_int("depth", 0, len(DEPTHS) - 1)
        seed = left[rank].pop(0) if left[rank] else trial.number % len(SEEDS)
        for mark, share in enumerate(MARKS):
            done[rank, seed] = max(done.get((rank, seed), 0.0), share)
            trial.report(float(sweep.course[rank, seed, mark]), mark)
            if mark < len(MARKS) - 1 and trial.should_prune():
                raise optuna.TrialPruned
        return float(sweep.course[rank, seed, -1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=sampler_seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )
        study.optimize(objective, n_trials=TRIALS)
    cost = sum(share * float(sweep.price[rank]) for (rank, _), share in done.items())
    return DEPTHS[study.best_params["depth"]], cost


def middle(sweep: Sweep, tolerance: float):
    """Always the median depth, for nothing."""
    return DEPTHS[len(DEPTHS) // 2], 0.0


PEERS = {"bisection": bisection, "halving": halving, "optuna": optuna_tpe, "always 5": middle}
