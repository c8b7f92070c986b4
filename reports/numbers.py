"""Numbers as people read them: fractions to three decimals, differences in points, thousands set apart."""

from collections.abc import Sequence

from depthprobe.analysis.budgets import say_speed
from depthprobe.analysis.units import Units
from depthprobe.counting import number_of

__all__ = ["Units", "say_speed"]  # for cli/, which draws no numbers of its own

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


FRACTION = Units()


def fraction(value: float, units: Units = FRACTION) -> str:
    """A value of the metric: 0.9787 -> "0.979"."""
    return units.value(value)


def points(value: float, units: Units = FRACTION) -> str:
    """A difference, fractions in hundredths: 0.0432 -> "+4.3"."""
    text = units.signed(value, unit=False)
    return (text if float(text) else text.replace("-", "+")).replace("-", "−")


def gained(value: float, units: Units = FRACTION) -> str:
    """A difference with its unit: "+4.3 points", or "+0.043" of a metric that is no fraction."""
    return points(value, units) + (" points" if units.fraction else "")


def size(value: float, units: Units = FRACTION) -> str:
    """A size of a difference: 0.0119 -> "1.2 points"."""
    return units.size(value)


def capital(name: str) -> str:
    """A metric's name at the head of a line: "accuracy" -> "Accuracy"; a function's name stays as it is."""
    return "Accuracy" if name == "accuracy" else name


def axis_title(units: Units) -> str:
    """What an axis of metric values says; plotly reads some tags, so nothing of a user's name is one."""
    name = units.metric.replace("<", "(").replace(">", ")")
    return f"validation {name}{' (fraction)' if units.fraction else ''}"


def gain_title(units: Units) -> str:
    """What an axis of differences says."""
    name = units.metric.replace("<", "(").replace(">", ")")
    return f"gain ({'points of ' if units.fraction else ''}{name})"


def percent(share: float) -> str:
    """0.95 -> "95 %", on one line."""
    return f"{100 * share:g}\u00a0%"


def count(value: float) -> str:
    """1048320 -> "1,048,320"."""
    return f"{value:,.0f}"


def scaled(value: float) -> str:
    """A large count, short: 3 digits from a million on, else whole."""
    for scale, letter in _SCALES:
        if value >= scale:
            return f"{value / scale:.3g} {letter}"
    return count(value)


def short(value: float) -> str:
    """A count in a narrow place: 3 digits from ten thousand on, else whole: 673088 -> "673 k"."""
    return f"{value / 1e3:.3g} k" if 1e4 <= value < 1e6 else scaled(value)


def times(value: float, base: float) -> str:
    """A ratio: "×2.9"; empty when there is nothing to compare with."""
    return f"×{value / base:.2g}" if base > 0 and value / base < 10 else f"×{value / base:,.0f}" if base > 0 else ""


def milliseconds(value: float) -> str:
    """0.8244 -> "0.824"; three digits, at least."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def memory(size: float) -> str:
    """Bytes as people read them: 10416 -> "10.4 kB"."""
    for scale, letter in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= scale:
            return f"{size / scale:.3g} {letter}"
    return f"{size:.0f} B"


def duration(seconds: float) -> str:
    """42.5 -> "42 s", 3700 -> "1 h 2 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def layers(number: int) -> str:
    """1 -> "1 layer", 3 -> "3 layers"."""
    return number_of(number, "layer")


def listed(words: Sequence[object]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    texts = [str(word) for word in words]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)
