"""The tolerance, fixed before training: what the validation data and the seeds can resolve at all."""

from dataclasses import dataclass
from math import ceil, sqrt

from depthprobe.errors import ConfigError

# What `--tolerance auto` aims for: half a point of accuracy.
TARGET = 0.005
# A step is resolved when it is this many standard errors. Tuned on the operating test (benchmarks/rule.py): at 2.3
# `keep` on flat curves fell below 75 % with 360 examples a fold. A larger factor makes the bar easier and the
# tolerance blunter.
FACTOR = 2.5


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What is assumed of data that do not exist yet (DESIGN section 4); accuracies as fractions.

    disagreement: share of examples on which two neighbouring depths of one seed differ. alike: part of it
    that is the same in every seed, so that more seeds on the same examples do not average it out.
    seed_by_depth_sd: effect of the seed on one depth against the others.
    """

    disagreement: float = 0.02
    alike: float = 0.5
    seed_by_depth_sd: float = 0.0025

    def parts(self, examples: int, *, folds: bool) -> tuple[float, float]:
        """Variance of a difference: (part that is divided by the number of seeds, part that is not)."""
        noise, alike = self.disagreement / examples, 0.0 if folds else self.alike
        return 2 * self.seed_by_depth_sd**2 + noise * (1 - alike), noise * alike


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """A tolerance, and what the target would take; values are fractions of the metric.

    value: the larger of target and resolvable. examples_needed: validation examples (in each fold, with
    folds) for the target at the planned seeds; seeds_needed: seeds for the target at the planned examples;
    None where no number is enough. both_needed: (examples, seeds) that are enough together, None when the
    target is met.
    """

    value: float
    target: float
    resolvable: float
    examples_needed: int | None
    seeds_needed: int | None
    both_needed: tuple[int, int] | None


def resolvable(examples: int, seeds: int, *, folds: bool, assume: Assumptions | None = None) -> float:
    """Smallest step between two depths (a fraction) that so many examples and seeds are expected to resolve.

    examples: validation examples, of each fold with folds=True (one fold per seed), else shared by all seeds.
    Raises ConfigError for fewer than one example or seed.
    """
    if examples < 1 or seeds < 1:
        found = f"{examples} examples, {seeds} seeds"
        raise ConfigError("nothing can be resolved without data", expected="at least 1 of each", found=found)
    per_seed, common = (assume or Assumptions()).parts(examples, folds=folds)
    return FACTOR * sqrt(per_seed / seeds + common)


def auto_tolerance(
    examples: int, seeds: int, *, folds: bool, target: float = TARGET, assume: Assumptions | None = None
) -> Tolerance:
    """Choose the tolerance of `--tolerance auto`: the target, or what can be resolved if that is larger.

    Arguments as in `resolvable`; target: the step one would like to see, a fraction above 0 (ConfigError
    otherwise).
    """
    if target <= 0:
        raise ConfigError("a tolerance must be above 0", where="target", found=str(target))
    assume = assume or Assumptions()
    reach = resolvable(examples, seeds, folds=folds, assume=assume)
    met = reach <= target
    return Tolerance(
        value=max(target, reach),
        target=target,
        resolvable=reach,
        examples_needed=examples if met else _examples_needed(seeds, folds, target, assume),
        seeds_needed=seeds if met else _seeds_needed(examples, folds, target, assume),
        both_needed=None if met else _both_needed(seeds, folds, target, assume),
    )


def _examples_needed(seeds: int, folds: bool, target: float, assume: Assumptions) -> int | None:
    left = (target / FACTOR) ** 2 - 2 * assume.seed_by_depth_sd**2 / seeds
    alike = 0.0 if folds else assume.alike
    return ceil(assume.disagreement * (alike + (1 - alike) / seeds) / left - 1e-6) if left > 0 else None


def _seeds_needed(examples: int, folds: bool, target: float, assume: Assumptions) -> int | None:
    per_seed, common = assume.parts(examples, folds=folds)
    left = (target / FACTOR) ** 2 - common
    return ceil(per_seed / left - 1e-6) if left > 0 else None


def _both_needed(seeds: int, folds: bool, target: float, assume: Assumptions) -> tuple[int, int] | None:
    # Seeds cost trainings, examples cost labels: half of the variance allowed goes to each.
    enough = max(seeds, ceil(4 * assume.seed_by_depth_sd**2 * (FACTOR / target) ** 2))
    examples = _examples_needed(enough, folds, target, assume)
    return None if examples is None else (examples, enough)
