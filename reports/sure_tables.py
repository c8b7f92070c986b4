"""The numbers behind how sure the answer is, and whether it holds elsewhere."""

from collections.abc import Sequence

from depthprobe.counting import number_of
from depthprobe.reports.holding import PlaceGain, RateAnswer, Verified
from depthprobe.reports.measured import Certainty, DepthCurve, Estimate
from depthprobe.reports.numbers import Units, fraction, gained, percent, points
from depthprobe.reports.tables import Table, plain


def shares_table(certainty: Certainty) -> Table:
    """Share of the resamples that names each candidate."""
    rows = [(certainty.axis.name(depth), f"{100 * share:.1f}\u00a0%") for depth, share in certainty.shares]
    return plain("Share of the resamples that names it", [certainty.axis.column, "Resamples"], rows)


def gains_table(certainty: Certainty) -> Table:
    """Each gain with its interval."""
    rows = [(label, *difference(gain, certainty.units)) for label, gain in certainty.gains]
    return plain("Gains", ["Gain", "Mean", f"{percent(certainty.confidence)} interval"], rows)


def rates_table(rates: Sequence[RateAnswer], curve: DepthCurve) -> Table:
    """The metric of every candidate at each rate, and the answer there."""
    heads = [curve.axis.column, "The rate itself", *(f"{row.name[0].upper()}{row.name[1:]}" for row in rates)]
    values = [dict(row.values) for row in rates]
    rows = [
        (
            curve.axis.name(one.depth),
            fraction(one.score.value, curve.units),
            *(fraction(found[one.depth], curve.units) if one.depth in found else "" for found in values),
        )
        for one in curve.candidates
    ]
    guess = curve.axis.name(curve.best_guess)
    main = guess if curve.recommended is not None else f"inconclusive, best guess {guess}"
    rows.append(("Answer", main, *(_answer(row, curve) for row in rates)))
    return plain("The candidates and the answer at other learning rates", heads, rows)


def _answer(row: RateAnswer, curve: DepthCurve) -> str:
    """The verdict at another rate, and how many of its seeds failed."""
    guess = f", {curve.axis.name(row.best_guess)}" if row.best_guess is not None else ""
    lost = f"; {row.failed} of {number_of(row.seeds, 'seed')} failed" if row.failed else ""
    return f"{row.verdict}{guess}{lost}"


def places_table(places: Sequence[PlaceGain], certainty: Certainty) -> Table:
    """What the copies at each place are worth alone."""
    units = certainty.units
    heads = ["Place", "Copies", units.metric, "Gain", f"{percent(certainty.confidence)} interval", "Pays"]
    rows = [
        (one.place, str(one.copies), fraction(one.score.value, units), *difference(one.gain, units), one.pays)
        for one in places
    ]
    return plain("Copies of one place alone, the others closed", heads, rows, code=True)


def verified_table(verified: Verified, certainty: Certainty) -> Table:
    """Both architectures, trained from scratch."""
    units = certainty.units
    rows = [
        (name, fraction(one.value, units), f"{fraction(one.low, units)} to {fraction(one.high, units)}")
        for name, one in (("advised", verified.advised), ("current", verified.current))
    ]
    rows.append(("difference", *difference(verified.difference, units)))
    heads = ["Network", units.metric, f"{percent(certainty.confidence)} interval"]
    return plain(
        f"Trained from scratch: {number_of(verified.seeds, 'seed')}, {verified.steps:,} updates each", heads, rows
    )


def difference(gain: Estimate, units: Units) -> tuple[str, str]:
    """A difference and its interval, in words."""
    return gained(gain.value, units), f"{points(gain.low, units)} to {points(gain.high, units)}"
