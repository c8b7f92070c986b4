"""Numbers as people read them: fractions to three decimals, differences in points, thousands set apart."""

from collections.abc import Sequence

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


def fraction(value: float) -> str:
    """0.9787 -> "0.979"."""
    return f"{value:.3f}"


def points(value: float) -> str:
    """A difference of fractions in hundredths: 0.0432 -> "+4.3"."""
    return f"{100 * value + 0.0:+.1f}".replace("-0.0", "+0.0").replace("-", "−")


def size(value: float) -> str:
    """A size in points: 0.0119 -> "1.2 points"."""
    return f"{100 * value:.2g} points"


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


def times(value: float, base: float) -> str:
    """A ratio: "×2.9"; empty when there is nothing to compare with."""
    return f"×{value / base:.2g}" if base > 0 and value / base < 10 else f"×{value / base:,.0f}" if base > 0 else ""


def milliseconds(value: float) -> str:
    """0.8244 -> "0.824"; three digits, at least."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


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
    return f"{number:,} layer" if number == 1 else f"{number:,} layers"


def listed(words: Sequence[object]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    texts = [str(word) for word in words]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)
