"""Simulated probes: 0/1 scores of correlated networks on a validation set with easy and hard examples."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from depthprobe.analysis.scores import FloatArray, SeedScores


@dataclass(frozen=True, kw_only=True)
class World:
    """How simulated seeds and examples scatter; all standard deviations are fractions.

    disagreement: share of examples on which two neighbouring depths of one seed differ (at 97 % accuracy).
    shared: part of that disagreement that every seed shows on the same examples (the rest is the seed's own).
    seed_sd: seed effect on all depths. seed_by_depth_sd: seed effect on one depth against the others.
    control_sd: additional seed effect on the control, which is a training of its own.
    """

    disagreement: float = 0.02
    shared: float = 0.5
    seed_sd: float = 0.003
    seed_by_depth_sd: float = 0.0025
    control_sd: float = 0.0

    def latent_share(self) -> float:
        """Solve `disagreement` for the variance share of the latent score that depths do not share."""

        def excess(share: float) -> float:
            miss = stats.norm.ppf(0.03)
            both = stats.multivariate_normal.cdf([miss, miss], cov=[[1, 1 - share], [1 - share, 1]])
            return float(2 * (0.03 - both) - self.disagreement)

        return float(optimize.brentq(excess, 1e-6, 0.999))


def simulate(
    curve: FloatArray,
    control: float,
    *,
    examples: int,
    seeds: int,
    folds: bool,
    world: World,
    rng: np.random.Generator,
    own_share: float,
) -> list[SeedScores]:
    """Draw 0/1 scores of one probe.

    curve: (K,) true accuracy, a fraction; control: true accuracy of the control arm. folds: every seed has
    its own `examples` examples; otherwise all share them. own_share: `world.latent_share()`, computed once
    by the caller. An example has a normal difficulty common to all networks plus a part of its own for each
    depth, of which `world.shared` is the same in all seeds; it is right when the sum stays below the
    network's quantile.
    """
    truth = np.append(curve, control)
    columns = len(truth)
    accuracy = truth + rng.normal(0, world.seed_sd, (seeds, 1))
    accuracy = accuracy + rng.normal(0, world.seed_by_depth_sd, (seeds, columns))
    accuracy[:, -1] += rng.normal(0, 1, seeds) * world.control_sd
    limits = stats.norm.ppf(np.clip(accuracy, 1e-6, 1 - 1e-6)).astype(np.float32)
    common_scale = np.float32(np.sqrt(1 - own_share))
    depth_scale = np.float32(np.sqrt(own_share * world.shared))
    seed_scale = np.float32(np.sqrt(own_share * (1 - world.shared)))

    def common() -> np.ndarray:
        drawn = depth_scale * rng.standard_normal((columns, examples), dtype=np.float32)
        return drawn + common_scale * rng.standard_normal(examples, dtype=np.float32)

    fold = common()
    scores = []
    for seed in range(seeds):
        if folds and seed:
            fold = common()
        own = seed_scale * rng.standard_normal((columns, examples), dtype=np.float32)
        right = (fold + own < limits[seed][:, None]).astype(np.float64)
        name = f"fold {seed}" if folds else "all"
        scores.append(SeedScores(seed=seed, candidates=right[:-1], control=right[-1], examples=name))
    return scores
