"""How sure must a shrink probe be that a smaller network is good enough? By simulation, numbers only.

Run: python benchmarks/shrink_rule.py
Curves A - B r^depth over 8 depths (a tenth of them flat), candidates measured from the smallest up against the present
network alone; the first is advised whose loss is within 0.8 of the tolerance and has its one-sided upper bound within
it. Wrong: the advised network is worse than the best by more than the tolerance. Too deep: against the smallest within
0.8 of the tolerance. What is wanted: at most 5 % wrong, at most one layer too deep (as for the rule of `grow`).
"""

import numpy as np
from scipy import stats

DRAWS = 20_000
# (tolerance, SD of a candidate's measurement, SD of the present network's): as in the four cases of the ground truth
CASES = ((0.005, 0.0012, 0.0012), (0.0082, 0.002, 0.0022), (0.0105, 0.003, 0.0035), (0.016, 0.004, 0.005))
SURE = (0.5, 0.69, 0.8, 0.9, 0.975)


def draw_curves(dice: np.random.Generator) -> np.ndarray:
    """(DRAWS, 8) true values, the best at 0."""
    ratio, height = dice.uniform(0.15, 0.8, DRAWS), 10 ** dice.uniform(-2.5, 0, DRAWS)
    height[dice.random(DRAWS) < 0.1] = 0.0
    curves = -height[:, None] * ratio[:, None] ** np.arange(8)
    return curves - curves.max(1, keepdims=True)


def judge(tolerance: float, spread: float, present: float, sure: float) -> tuple[float, float]:
    """(share of wrong answers, mean layers too deep)."""
    dice = np.random.default_rng(0)
    curves = draw_curves(dice)
    measured = curves + dice.normal(0, spread, curves.shape)
    loss = (curves[:, -1] + dice.normal(0, present, DRAWS))[:, None] - measured[:, :-1]
    bound = loss + stats.norm.ppf(sure) * np.hypot(spread, present)
    fits = (loss <= 0.8 * tolerance) & (bound <= tolerance)
    advised = np.where(fits.any(1), fits.argmax(1), 7)
    wrong = -curves[np.arange(DRAWS), advised] > tolerance
    return float(wrong.mean()), float((advised - (-curves <= 0.8 * tolerance).argmax(1)).mean())


def main() -> None:
    """One line per tolerance."""
    print("tolerance   " + "".join(f"sure {sure:<14}" for sure in SURE))
    for tolerance, spread, present in CASES:
        rows = [judge(tolerance, spread, present, sure) for sure in SURE]
        print(f"{tolerance:<12}" + "".join(f"{100 * wrong:4.1f} % {deep:+.2f}      " for wrong, deep in rows))


if __name__ == "__main__":
    main()
