"""Sensitivity: does the answer hold at a third and at three times the learning rate?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from depthprobe.analysis.decision import Decision
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.units import Units
from depthprobe.counting import number_of
from depthprobe.probes.answer import read_failures, read_scores
from depthprobe.probes.bench import Arm

FACTORS = (1.0 / 3.0, 3.0)
WORDS = ("a third", "three times")

Records = Sequence[Mapping[str, Any]]


def probe_arms(seeds: Sequence[int], *, sensitivity: bool) -> list[Arm]:
    """All trainings of a probe in the order in which they run: the main answer first, then the other rates."""
    return [
        Arm(seed, rank, kind, factor)
        for factor in (1.0, *(FACTORS if sensitivity else ()))
        for rank, seed in enumerate(seeds)
        for kind in ("grow", "control")
    ]


def at_rate(records: Records, factor: float) -> list[Mapping[str, Any]]:
    """The records of the arms trained at `factor` times the rate, those of the main rate carry none; trainings from
    scratch (--verify) are left out.
    """
    mine = [record for record in records if record.get("rate", 1.0) == factor]
    return [record for record in mine if not str(record.get("arm", "")).startswith("verify")]


def finished_seeds(records: Records, seeds: Sequence[int], factor: float) -> list[int]:
    """Those of `seeds` that were trained to their end, or failed, at `factor` times the rate."""
    mine = at_rate(records, factor)
    failed = {failure.seed for failure in read_failures(mine)}
    done = {record["seed"] for record in mine if record["kind"] == "arm" and record["arm"] == "control"}
    return [seed for seed in seeds if seed in failed or seed in done]


def repeat_decision(
    records: Records,
    opened: Sequence[int],
    seeds: Sequence[int],
    lr: float | None,
    decide: Callable[[Sequence[SeedScores]], Decision],
) -> list[dict[str, Any]]:
    """The answer at each of the other rates, plain values. decide: as for the main answer; lr: the main rate,
    None for an optimizer of the user's, which has its own.

    verdict is "failed" where no seed was left, and "not run" where a time budget ended first.
    """
    rows = []
    for factor in FACTORS:
        mine = at_rate(records, factor)
        trained = finished_seeds(records, seeds, factor)
        failed = sorted({failure.seed for failure in read_failures(mine)})
        rate = {"factor": factor, "lr": None if lr is None else lr * factor}
        row: dict[str, Any] = {**rate, "seeds": trained, "failed_seeds": failed}
        answer: dict[str, Any] = {
            "verdict": "failed" if trained else "not run",
            "recommended": None,
            "best_guess": None,
        }
        scores = read_scores(mine, opened, trained)
        if scores:
            decision = decide(scores)
            answer = {key: getattr(decision, key) for key in answer}
            row["values"] = [estimate.value for estimate in decision.candidates]
        rows.append({**row, **answer})
    return rows


def say_sensitivity(decision: Decision, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the sentence ends with: whether the answer holds at the other rates, and what it is where it does not."""
    held = [word for word, row in zip(WORDS, rows, strict=True) if holds(decision, row)]
    notes = []
    if held:
        how = "no more conclusive" if decision.verdict == "inconclusive" else "holds"
        notes.append(f"{how} at {' and '.join(held)} {'the rate' if held[-1] == WORDS[1] else 'of the rate'}")
    for word, row in zip(WORDS, rows, strict=True):
        if word not in held:
            place = "three times the rate" if word == WORDS[1] else "a third of the rate"
            notes.append(f"at {place}: {_answer(row)}")
    return notes


def better_rates(
    decision: Decision, rows: Sequence[Mapping[str, Any]], lr: float | None, units: Units | None = None
) -> list[str]:
    """A note for every rate at which the best depth is better than at the main one, `lr`, by more than the tolerance.

    lr: None for an optimizer of the user's; units: of the metric.
    """
    units, best = units or Units(tolerance=decision.tolerance), max(e.value for e in decision.candidates)
    notes = []
    for word, row in zip(WORDS, rows, strict=False):
        values = row.get("values")
        if not values or max(values) <= best + decision.tolerance:
            continue
        reached, before = units.value(max(values)), units.value(best)
        if lr is None:
            which = word if word == WORDS[1] else f"{word} of"
            notes.append(
                f"at {which} your optimizer's rates the best depth reaches {reached} instead of {before}: "
                "they may suit this network better"
            )
        else:
            notes.append(
                f"at a rate of {row['lr']:.2g} the best depth reaches {reached}, at {lr:.2g} {before}: "
                f"--lr {row['lr']:.2g} may suit this network better"
            )
    return notes


def holds(decision: Decision, row: Mapping[str, Any]) -> bool:
    """The same verdict, and a depth that is the same or one of those that the resamples of the main answer name."""
    if row["verdict"] != decision.verdict:
        return False
    low, high = decision.range95 or (decision.best_guess, decision.best_guess)
    return decision.verdict == "inconclusive" or low <= row["best_guess"] <= high


def _answer(row: Mapping[str, Any]) -> str:
    verdict, depth = row["verdict"], row["best_guess"]
    if verdict == "failed":
        failed = len(row["seeds"])
        return f"all {number_of(failed, 'seed')} failed" if failed > 1 else "its one seed failed"
    if verdict == "not run":
        return "not run (time budget)"
    words = {"keep": f"keep {depth}", "inconclusive": f"inconclusive, best guess {depth}"}
    return words.get(verdict, f"{verdict} to {depth}")
