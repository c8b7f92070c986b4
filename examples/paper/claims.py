"""The paper's claims (claims.toml), each judged from the lines of the arms that it is about.

trains     holds when every seed of the arms `this` converged and no seed of the arms `that` did.
converges  holds when every seed of the arms `this` converged.
better     this - that, per seed: holds when the 95 % interval of the gain in test error lies above zero, does not hold
           when it lies below, and is undecided when it holds zero.
no better  holds unless `better` does.
sooner     as better, with the step at which the validation accuracy is settled.

A claim whose cases disagree "depends": on what, its cases say.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.paper.measured import Line, error_of, interval, settled_at

CLAIMS = Path(__file__).parent / "claims.toml"
HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "undecided", "not run"


def read_claims() -> list[dict[str, Any]]:
    """sentence, place, rule, and cases with `on`, `this`, `that` (arms as row/arm)."""
    return list(tomllib.loads(CLAIMS.read_text(encoding="utf-8"))["claim"])


def judge(claim: dict[str, Any], lines: Sequence[Line]) -> tuple[str, list[tuple[str, str, str]]]:
    """The verdict over all cases, and for each case (what it is on, verdict, numbers)."""
    cases = [(case["on"], *judge_case(claim["rule"], case, lines)) for case in claim["case"]]
    found = [verdict for _, verdict, _ in cases if verdict != MISSING]
    if len(set(found)) > 1:
        return f"depends: holds in {found.count(HOLDS)} of {len(found)} cases", cases
    return (found[0] if found else MISSING), cases


def judge_case(rule: str, case: dict[str, Any], lines: Sequence[Line]) -> tuple[str, str]:
    """Verdict and numbers of one case."""
    this, that = ([find(lines, name) for name in case.get(side, [])] for side in ("this", "that"))
    if not all([*this, *that]):
        return MISSING, ""
    if rule in ("trains", "converges"):
        return _trained(this, that)
    gains = [_gain(rule, a, b) for a in this[0] for b in that[0] if a["seed"] == b["seed"]]
    if not gains:
        return MISSING, ""
    found = interval(gains)
    shown = f"{found.mean:+.0f} steps" if rule == "sooner" else f"{100 * found.mean:+.2f} points"
    if found.low is None or found.high is None:
        return OPEN, f"gain {shown}, one seed"
    scale, digits = (1, 0) if rule == "sooner" else (100, 2)
    shown = f"gain {shown} ({scale * found.low:+.{digits}f} to {scale * found.high:+.{digits}f}, {len(gains)} seeds)"
    better = HOLDS if found.low > 0 else FAILS if found.high < 0 else OPEN
    return ((FAILS if better == HOLDS else HOLDS) if rule == "no better" else better), shown


def find(lines: Sequence[Line], name: str) -> list[Line]:
    """The lines of the arm `row/arm`."""
    row, _, arm = name.partition("/")
    return [line for line in lines if (line["row"], line["arm"]) == (row, arm)]


def _gain(rule: str, this: Line, that: Line) -> float:
    measure = settled_at if rule == "sooner" else error_of
    return measure(that) - measure(this)


def _trained(this: list[list[Line]], that: list[list[Line]]) -> tuple[str, str]:
    counts = [(sum(line["converged"] for arm in side for line in arm), sum(map(len, side))) for side in (this, that)]
    (yes, of), (wrong, among) = counts
    shown = f"{yes} of {of} converged" + (f", against {wrong} of {among}" if among else "")
    return (HOLDS if yes == of and wrong == 0 else FAILS), shown
