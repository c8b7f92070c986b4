"""The paper's claims (claims.toml), each judged from the lines of the arms that it is about.

trains     holds when every seed of the arms `this` converged and no seed of the arms `that` did.
converges  holds when every seed of the arms `this` converged.
better     this - that, per seed: holds when the 95 % interval of the gain in test error lies above zero, does not hold
           when it lies below, and is undecided when it holds zero; the size that a sentence speaks of is not judged.
no better  holds when that interval lies below half a point, does not hold when it lies above zero, else undecided.
alike      holds when it lies within a point on either side, does not hold when it lies beyond, else undecided.
sooner     as better, with the step from which the validation accuracy stays at 0.9 of the lower final one of the two.

The last four are undecided where a seed did not converge (`sooner`) or none did, and so is a case of which one of the
arms `given` did not. A claim whose cases disagree "depends": on what, its cases say.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.paper.measured import Line, error_of, find, interval, sooner_by
from examples.paper.weighing import FAILS, HOLDS, OPEN, weigh

CLAIMS = Path(__file__).parent / "claims.toml"
MISSING = "not run"


def read_claims() -> list[dict[str, Any]]:
    """sentence, place, rule, and cases with `on`, `this`, `that` (arms as row/arm)."""
    return list(tomllib.loads(CLAIMS.read_text(encoding="utf-8"))["claim"])


def judge(claim: dict[str, Any], lines: Sequence[Line]) -> tuple[str, list[tuple[str, str, str]]]:
    """The verdict over all cases, and for each case (what it is on, verdict, numbers)."""
    cases = [(case["on"], *judge_case(claim["rule"], case, lines)) for case in claim["case"]]
    found = [verdict for _, verdict, _ in cases if verdict != MISSING]
    if HOLDS in found and FAILS in found:
        return f"depends: holds in {found.count(HOLDS)} of {len(found)} cases", cases
    if len(set(found)) > 1:
        sure = next(verdict for verdict in found if verdict != OPEN)
        return f"{sure} in {found.count(sure)} of {len(found)} cases, else undecided", cases
    partly = f" ({len(found)} of {len(cases)} cases run)" if len(found) < len(cases) else ""
    return (f"{found[0]}{partly}" if found else MISSING), cases


def judge_case(rule: str, case: dict[str, Any], lines: Sequence[Line]) -> tuple[str, str]:
    """Verdict and numbers of one case."""
    this, that, given = ([find(lines, name) for name in case.get(side, [])] for side in ("this", "that", "given"))
    if not all([*this, *that, *given]):
        return MISSING, ""
    if not all(line["converged"] for arm in given for line in arm):
        return OPEN, f"{', '.join(case['given'])} did not converge"
    if rule in ("trains", "converges"):
        return _trained(this, that)
    pairs = [(a, b) for a in this[0] for b in that[0] if a["seed"] == b["seed"]]
    if not pairs:
        return MISSING, ""
    if not any(a["converged"] or b["converged"] for a, b in pairs):
        return OPEN, "neither converged"
    measured = [sooner_by(a, b) if rule == "sooner" else error_of(b) - error_of(a) for a, b in pairs]
    gains = [gain for gain in measured if gain is not None]
    if len(gains) < len(pairs):
        return OPEN, "not all seeds converged"
    found = interval(gains)
    shown = f"{found.mean:+.0f} steps" if rule == "sooner" else f"{100 * found.mean:+.2f} points"
    if found.low is None or found.high is None:
        return OPEN, f"gain {shown}, one seed"
    scale, digits = (1, 0) if rule == "sooner" else (100, 2)
    shown = f"gain {shown} ({scale * found.low:+.{digits}f} to {scale * found.high:+.{digits}f}, {len(gains)} seeds)"
    if "but" in case:
        return OPEN, f"{shown}, but {case['but']}"
    return weigh(rule, found.low, found.high), shown


def _trained(this: list[list[Line]], that: list[list[Line]]) -> tuple[str, str]:
    counts = [(sum(line["converged"] for arm in side for line in arm), sum(map(len, side))) for side in (this, that)]
    (yes, of), (wrong, among) = counts
    shown = f"{yes} of {of} converged" + (f", against {wrong} of {among}" if among else "")
    return (HOLDS if yes == of and wrong == 0 else FAILS), shown
