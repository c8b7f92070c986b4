"""Confirmation: the best trials and the default again on fresh seeds, and whether one of them is really better."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from depthprobe.analysis.decision import Estimate
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.spread import Spread, estimate_spread
from depthprobe.probes.answer import unpack_scores, within
from depthprobe.tuning.trial import DEFAULT, WORST

Run = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A schedule that was trained again. slot: its trial; values: of the metric on every fresh seed whose training came
    to an end (None: diverged); gain: over the default with its interval, None for the default itself and where no seed
    is left to compare; lost: ranks of the seeds whose training came to no end.
    """

    slot: int
    settings: Mapping[str, Any]
    cost: float
    searched: float
    values: tuple[float | None, ...]
    gain: Mapping[str, float] | None
    lost: tuple[int, ...] = ()

    @property
    def mean(self) -> float | None:
        """Over the seeds that did not diverge."""
        kept = [value for value in self.values if value is not None]
        return float(np.mean(kept)) if kept else None

    @property
    def failed(self) -> bool:
        """Whether a seed diverged."""
        return None in self.values


def choose_top(trials: Sequence[FrozenTrial], count: int, *, pareto: bool) -> list[FrozenTrial]:
    """The default, then at most `count` other trials, of different settings, the best first; with two objectives those
    that no other beats in both.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.values]
    rest = [trial for trial in complete if not trial.user_attrs.get(DEFAULT)]
    if pareto:
        rest = [one for one in rest if not any(_beats(other.values, one.values) for other in complete)]
    rest.sort(key=lambda trial: (-trial.values[0], trial.values[1:], trial.user_attrs["slot"]))
    distinct = {json.dumps(trial.user_attrs["settings"], sort_keys=True): trial for trial in reversed(rest)}
    chosen = sorted(distinct.values(), key=rest.index)[:count]
    return [trial for trial in trials if trial.user_attrs.get(DEFAULT)][:1] + chosen


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Accuracy at least as high, cost at least as low, and not the same."""
    return one[0] >= other[0] and one[1] <= other[1] and list(one) != list(other)


def confirmation_jobs(top: Sequence[FrozenTrial], ranks: Sequence[int], folds: Sequence[int]) -> list[dict[str, Any]]:
    """One training for every contender and fresh seed, seed by seed."""
    return [
        {"of": trial.user_attrs["slot"], "settings": trial.user_attrs["settings"], "rank": rank, "fold": fold}
        for rank, fold in zip(ranks, folds, strict=True)
        for trial in top
    ]


def weigh(
    top: Sequence[FrozenTrial],
    trained: Sequence[FrozenTrial],
    *,
    confidence: float,
    fraction: bool,
    scale: float = 1.0,
) -> list[Contender]:
    """What came of the confirmation, the default first. trained: its trials; fraction: of the metric, whose worst value
    stands in for a training that diverged; scale: of the metric, as for `estimate_spread`.

    Gains are paired over seeds and examples. "low" and "high" of a gain are one-sided bounds, as the rule of grow has
    them; all of them hold together with `confidence`: the best of several is looked at, so each is that much wider
    (Bonferroni). With one seed there is none. They end where differences of the metric do, at 100 points for a
    fraction; not where the default leaves no more room: its value is an estimate too, and the truth may lie beyond.
    A training that was lost, because its worker was killed, is no result: its seed is left out of the comparison, for
    all.
    """
    runs = {(t.user_attrs["of"], t.user_attrs["rank"]): _run(t) for t in trained}
    ranks = sorted({rank for _, rank in runs})
    table = {t.user_attrs["slot"]: [runs.get((t.user_attrs["slot"], rank)) for rank in ranks] for t in top}
    complete = _complete(table, fraction)
    kept = list(complete)
    spread = _spread(complete, scale) if len(kept) > 1 and kept[0] == top[0].user_attrs["slot"] else None
    spread = spread if spread is not None and spread.seeds > 1 else None  # one seed says nothing of the next
    each = 1.0 - 2.0 * (1.0 - confidence) / max(1, len(top) - 1)
    ends = (-1.0, 1.0) if fraction else (None, None)
    return [
        Contender(
            slot=slot,
            settings=trial.user_attrs["settings"],
            cost=trial.user_attrs["cost"],
            searched=float(trial.values[0]) if trial.values else float("nan"),
            values=tuple(run.get("value") for run in table[slot] if run),
            gain=_gain(spread, kept.index(slot), each, ends) if spread is not None and slot in kept[1:] else None,
            lost=tuple(rank for rank, run in zip(ranks, table[slot], strict=True) if not run),
        )
        for trial, slot in ((trial, trial.user_attrs["slot"]) for trial in top)
    ]


def _complete(table: Mapping[int, Sequence[Run | None]], fraction: bool) -> dict[int, list[Run]]:
    """The runs of those that can be compared, on the seeds on which none of these was lost."""
    kept = {
        slot: row
        for slot, row in table.items()
        if any(row) and (fraction or not any(run and _failed(run) for run in row))
    }
    whole = [all(runs) for runs in zip(*kept.values(), strict=True)]
    return {
        slot: [run for run, all_there in zip(row, whole, strict=True) if run and all_there]
        for slot, row in kept.items()
    }


def _run(trial: FrozenTrial) -> Run | None:
    """What came of a training; None when it was lost, and of no worth for a verdict."""
    runs = trial.user_attrs.get("runs") or []
    return runs[0] if runs else None


def _failed(run: Run) -> bool:
    return run.get("failed") is not None


def _spread(table: Mapping[int, Sequence[Run]], scale: float) -> Spread | None:
    """Of the contenders in `table` over the seeds on which one of them was scored."""
    scores = []
    for rank, row in enumerate(zip(*table.values(), strict=True)):
        known = next((run for run in row if not _failed(run)), None)
        if known is None:
            continue
        size = len(unpack_scores(known))
        stacked = np.stack([np.full(size, WORST) if _failed(run) else unpack_scores(run) for run in row])
        scores.append(SeedScores(seed=rank, candidates=stacked, control=stacked[0], examples=known["valid_id"]))
    return estimate_spread(scores, scale) if scores else None


def lost_note(contenders: Sequence[Contender], first: int) -> str | None:
    """What was lost and left out, in words; None for nothing. first: the seed of rank 0."""
    lost = [f"trial {one.slot} on seed {first + rank}" for one in contenders for rank in one.lost]
    if not lost:
        return None
    return f"lost with the workers that ran it, and left out with its seed: the training of {', '.join(lost)}"


def _gain(spread: Spread, column: int, confidence: float, ends: tuple[float | None, float | None]) -> dict[str, float]:
    contrast = np.zeros(len(spread.means))
    contrast[0], contrast[column] = -1.0, 1.0
    value, margin = float(contrast @ spread.means), spread.paired_margin(contrast, confidence)
    return within(Estimate(value=value, low=value - margin, high=value + margin), ends)


def pick(contenders: Sequence[Contender], *, pareto: bool, tolerance: float) -> Contender:
    """The contender to use: the one with the highest mean whose gain's lower bound is above zero; with two objectives
    also the cheapest one that is no worse by more than `tolerance`; else the default, unless it diverged where another
    did not.
    """
    default, rest = contenders[0], [one for one in contenders[1:] if one.gain is not None and not one.failed]
    sound = [one for one in contenders[1:] if one.values and not one.failed]
    if default.failed and sound and not rest:
        return max(sound, key=lambda one: one.mean or 0.0)
    better = [one for one in rest if one.gain is not None and one.gain["low"] > 0.0]
    if better:
        return max(better, key=lambda one: (one.mean or 0.0, -one.cost))
    cheaper = [one for one in rest if one.cost < default.cost and one.gain is not None and one.gain["low"] > -tolerance]
    return min(cheaper, key=lambda one: one.cost) if pareto and cheaper else default
