"""Settings of a study: how many trials, how they are proposed, cut short and confirmed."""

from dataclasses import dataclass

from depthprobe.errors import ConfigError
from depthprobe.settings import Settings, check_choice, check_number, check_optional

OBJECTIVES = ("accuracy", "accuracy,cost")
SAMPLERS = ("tpe", "random", "gp")
PRUNERS = ("none", "hyperband", "wilcoxon")
LEAST_SEEDS = 4  # of a signed-rank test that can tell anything before its last seed


@dataclass(frozen=True, kw_only=True)
class TuneConfig(Settings):
    """A study. trials: of the search, the default included. objective: "accuracy" (the metric, whichever it is) at a
    fixed number of updates, or "accuracy,cost", both together. trial_seeds: trainings of one trial (None: one, or 4
    with the pruner "wilcoxon"). pruner: "hyperband" compares what is measured at holds, "wilcoxon" seed by seed.
    confirm_top: trials that are trained again beside the default; confirm_seeds: fresh seeds of each. workers: local
    processes. heartbeat: seconds between two signs of life; three missed and a trial is taken for lost.
    """

    trials: int = 30
    objective: str = "accuracy"
    sampler: str = "tpe"
    pruner: str = "none"
    trial_seeds: int | None = None
    confirm_top: int = 3
    confirm_seeds: int = 5
    workers: int = 1
    heartbeat: int = 10

    def __post_init__(self) -> None:
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("sampler", self.sampler, SAMPLERS)
        check_choice("pruner", self.pruner, PRUNERS)
        check_number("trials", self.trials, at_least=2, at_most=100_000, whole=True)
        check_number("confirm_top", self.confirm_top, at_least=1, at_most=20, whole=True)
        check_number("confirm_seeds", self.confirm_seeds, at_least=1, at_most=100, whole=True)
        check_number("workers", self.workers, at_least=1, at_most=1000, whole=True)
        check_number("heartbeat", self.heartbeat, at_least=1, at_most=3600, whole=True)
        check_optional("trial_seeds", self.trial_seeds, at_least=1, at_most=100, whole=True)
        self._check_pruner()

    def _check_pruner(self) -> None:
        if self.pruner != "none" and self.objective != "accuracy":
            raise ConfigError(
                "a trial with two objectives cannot be cut short",
                where="--pruner",
                expected="--objective accuracy beside it, or --pruner none",
                found=f"--pruner {self.pruner} with --objective {self.objective}",
            )
        if self.pruner == "hyperband" and self.seeds > 1:
            raise ConfigError(
                "Hyperband compares what one training measures at its holds",
                where="--trial-seeds",
                expected="1, or --pruner wilcoxon, which compares seeds",
                found=str(self.trial_seeds),
            )
        if self.pruner == "wilcoxon" and self.seeds < LEAST_SEEDS:
            raise ConfigError(
                "a signed-rank test says nothing with so few seeds",
                where="--trial-seeds",
                expected=f"at least {LEAST_SEEDS} with --pruner wilcoxon",
                found=str(self.trial_seeds),
            )

    @property
    def seeds(self) -> int:
        """Trainings of one trial."""
        return self.trial_seeds or (LEAST_SEEDS if self.pruner == "wilcoxon" else 1)

    @property
    def pareto(self) -> bool:
        """Whether accuracy and cost are sought together."""
        return self.objective == "accuracy,cost"
