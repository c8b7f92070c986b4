"""What the 95 % interval of a gain says of a sentence."""

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
NO_BETTER, ALIKE = 0.005, 0.01  # points of test accuracy, as fractions


def weigh(rule: str, low: float, high: float) -> str:
    """The verdict. rule: "better" or "sooner", "no better", "alike"; low, high: the interval of this - that."""
    if rule == "alike":
        return HOLDS if low > -ALIKE and high < ALIKE else FAILS if low > ALIKE or high < -ALIKE else OPEN
    if rule == "no better":
        return FAILS if low > 0 else HOLDS if high < NO_BETTER else OPEN
    return HOLDS if low > 0 else FAILS if high < 0 else OPEN
