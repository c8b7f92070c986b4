"""Values of a metric as people read them: fractions in points, other metrics as plain numbers."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Units:
    """metric: its name. fraction: values are shares of the examples and differences are said in points (hundredths).
    tolerance: decides how many decimals a plain number needs: one more than the tolerance's first digit.
    """

    metric: str = "accuracy"
    fraction: bool = True
    tolerance: float = 0.005

    @property
    def decimals(self) -> int:
        """Of a value of the metric."""
        if self.fraction or not self.tolerance > 0:
            return 3
        return min(12, max(0, 1 - math.floor(math.log10(self.tolerance))))

    def value(self, value: float) -> str:
        """0.9787 -> "0.979"."""
        return f"{value:.{self.decimals}f}"

    def signed(self, difference: float, *, unit: bool = True) -> str:
        """A difference: 0.0432 -> "+4.3 points", or "+0.043"; unit: with the word."""
        if self.fraction:
            return f"{100 * difference + 0.0:+.1f}{' points' if unit else ''}"
        return f"{difference + 0.0:+.{self.decimals}f}"

    def size(self, value: float) -> str:
        """The size of a difference: 0.0119 -> "1.2 points", or "0.012"."""
        return f"{100 * value:.2g} points" if self.fraction else f"{value:.2g}"
