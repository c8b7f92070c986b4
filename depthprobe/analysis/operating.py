"""The operating test: how often the deciding rule is right on simulated probes with a known answer."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import FloatArray
from depthprobe.analysis.simulation import World, simulate
from depthprobe.analysis.tolerance import auto_tolerance

__all__ = ["CURVES", "Row", "Setting", "World", "run_row"]

# True accuracy in percent at eight candidate depths, current depth first.
FIXED: dict[str, tuple[float, ...]] = {
    "flat": (97, 97, 97, 97, 97, 97, 97, 97),
    "rising": (92, 95.8, 96.5, 97, 97, 97, 97, 97),
    "slow": (96, 96.3, 96.6, 96.8, 96.9, 97, 97, 97),
    "peaked": (92, 95.8, 96.5, 97.2, 97.2, 97, 96.2, 95),
    "steep": (90, 97, 97, 97, 97, 97, 97, 97),
    "borderline": (96.4, 97, 97, 97, 97, 97, 97, 97),
    "mild peak": (95, 96.5, 97, 97, 96.5, 96, 95.5, 95),
}
# Shortfall below 97 %, in tolerances of the row: as hard for any amount of data.
SCALED: dict[str, tuple[float, ...]] = {
    "edge 1.2": (1.2, 0, 0, 0, 0, 0, 0, 0),
    "edge 0.8": (0.8, 0, 0, 0, 0, 0, 0, 0),
    "slow 1.2": (1.2, 0.84, 0.48, 0.24, 0.12, 0, 0, 0),
    "stairs": (4, 3, 2, 0, 0, 0, 0, 0),
    "tent": (4, 2, 0, 0, 1.6, 2, 3, 4),
}
# The control is as good as the deepest candidates: training longer explains the whole gain.
EXPLAINED = {"steep, ctrl": "steep", "rising, ctrl": "rising"}
CURVES = (*FIXED, *SCALED, *EXPLAINED)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Validation examples (of each fold with folds=True, one fold per seed) and seeds."""

    examples: int
    seeds: int
    folds: bool

    @property
    def name(self) -> str:
        """Such as "3 folds of 360" or "1080 x 3 seeds"."""
        return f"{self.seeds} folds of {self.examples}" if self.folds else f"{self.examples} x {self.seeds} seeds"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Shares of draws; excess in candidates, over answered draws; covers None unless resampled."""

    tolerance: float
    deepen: float
    keep: float
    inconclusive: float
    wrong: float
    excess: float
    resolvable: bool
    covers: float | None


def true_curve(name: str, tolerance: float) -> tuple[FloatArray, float]:
    """((8,) true accuracies, true accuracy of the control), fractions."""
    if name in SCALED:
        curve = 0.97 - tolerance * np.array(SCALED[name])
    else:
        curve = np.array(FIXED[EXPLAINED.get(name, name)]) / 100
    return curve, float(curve.max() if name in EXPLAINED else curve[0])


def run_row(
    name: str,
    setting: Setting,
    *,
    draws: int,
    rng_seed: int,
    world: World | None = None,
    tolerance: float | None = None,
    resamples: int = 0,
) -> Row:
    """Simulate `draws` probes on one curve and judge every decision; tolerance None: automatic."""
    world = world or World()
    if tolerance is None:
        tolerance = auto_tolerance(setting.examples, setting.seeds, folds=setting.folds).value
    curve, control = true_curve(name, tolerance)
    regret = curve.max() - curve
    regret[0] = min(regret[0], curve.max() - control)
    best = int(np.argmax(regret <= tolerance))
    rng, own_share = np.random.default_rng(rng_seed), world.latent_share()
    verdicts: Counter[str] = Counter()
    wrong, excess, covered = 0, [0], 0
    for _ in range(draws):
        scores = simulate(
            curve,
            control,
            examples=setting.examples,
            seeds=setting.seeds,
            folds=setting.folds,
            world=world,
            rng=rng,
            own_share=own_share,
        )
        answer = decide(scores, depths=range(1, 9), current=1, tolerance=tolerance, resamples=resamples)
        verdicts[answer.verdict] += 1
        if answer.range95 is not None:
            covered += answer.range95[0] <= best + 1 <= answer.range95[1]
        if answer.recommended is not None:
            index = answer.recommended - 1
            excess.append(index - best)
            wrong += bool(regret[index] > tolerance + 1e-12 or (index > 0 and regret[0] == 0))
    answered = max(len(excess) - 1, 1)
    return Row(
        tolerance=tolerance,
        deepen=verdicts["deepen"] / draws,
        keep=verdicts["keep"] / draws,
        inconclusive=verdicts["inconclusive"] / draws,
        wrong=wrong / draws,
        excess=sum(excess) / answered,
        resolvable=not np.any((regret > 0.5 * tolerance) & (regret < 1.5 * tolerance)),
        covers=covered / draws if resamples else None,
    )
