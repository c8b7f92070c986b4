"""What should make a reader careful: failed seeds, overlap, a control as good, answers that do not hold."""

from collections.abc import Iterator

from depthprobe.reports.costs import at
from depthprobe.reports.holding import RateAnswer, Verified
from depthprobe.reports.measured import Certainty, DepthCurve
from depthprobe.reports.numbers import gained, points, size
from depthprobe.reports.reading import Run, by_budget

HELD = {
    "no": "Trained from scratch, the advised network does not keep what was promised",
    "unclear": "Training from scratch does not settle whether the advice holds",
}


def view_warnings(
    run: Run, curve: DepthCurve, certainty: Certainty, rates: tuple[RateAnswer, ...], verified: Verified | None
) -> tuple[str, ...]:
    """Sentences, the gravest first; none for a run that went as it should."""
    return (
        *_failures(run),
        *_scratch(verified, curve),
        *(_control(curve, certainty) if run.command == "grow" else ()),
        *(_overlap(curve) if run.recommendation["verdict"] == "deepen" else ()),
        *_rates(run, rates, curve),
        *_coarse(certainty),
    )


def _failures(run: Run) -> list[str]:
    """Collapses and divergences."""
    return [
        f"Seed {record['seed']} failed in the {record['arm']} arm: {record['what']}."
        + (" Not in any number of the answer." if record["seed"] in run.recommendation["failed_seeds"] else "")
        for record in run.of("failure")
    ]


def _scratch(verified: Verified | None, curve: DepthCurve) -> Iterator[str]:
    if verified is not None and verified.held in HELD:
        gap = verified.difference
        low, high = points(gap.low, curve.units), points(gap.high, curve.units)
        yield f"{HELD[str(verified.held)]}: {gained(gap.value, curve.units)} ({low} to {high})."


def _control(curve: DepthCurve, certainty: Certainty) -> Iterator[str]:
    gain = dict(certainty.gains).get("over the control")
    if gain is not None and gain.low <= 0 and curve.best_guess != curve.current:
        low, high = points(gain.low, curve.units), points(gain.high, curve.units)
        yield (
            f"The control, which only trained as long, may be as good as growth: {gained(gain.value, curve.units)} "
            f"over it ({low} to {high})."
        )


def _overlap(curve: DepthCurve) -> Iterator[str]:
    now, then = at(curve, curve.current).score, at(curve, curve.best_guess).score
    if then.low <= now.high and now.low <= then.high:
        names = f"{curve.axis.name(curve.current)} and {curve.axis.name(curve.best_guess)}"
        yield f"The intervals of {names} overlap: the advice rests on the gain within seeds and examples."


def _rates(run: Run, rates: tuple[RateAnswer, ...], curve: DepthCurve) -> Iterator[str]:
    if by_budget(run.recommendation["sentence"]):  # the other rates were asked without it
        return
    for row in rates:
        if row.verdict != run.recommendation["verdict"]:
            guess = f", {curve.axis.name(row.best_guess)}" if row.best_guess is not None else ""
            yield f"The answer depends on the learning rate: at {row.name} it is {row.verdict}{guess}."


def _coarse(certainty: Certainty) -> Iterator[str]:
    if certainty.resolution > certainty.tolerance:
        units = certainty.units
        yield (
            f"These data resolve steps of {size(certainty.resolution, units)}, coarser than the tolerance of "
            f"{size(certainty.tolerance, units)}."
        )
