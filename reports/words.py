"""The answer in plain words: what the verdict means, and what to do next."""

from typing import Any

from depthprobe.analysis.budgets import say_speed
from depthprobe.counting import number_of
from depthprobe.reports.advice import next_steps
from depthprobe.reports.costs import cost_tiles
from depthprobe.reports.measured import Certainty, DepthCurve, Estimate
from depthprobe.reports.numbers import fraction, gained, percent, points, size
from depthprobe.reports.reading import Run, by_budget, is_unmet
from depthprobe.reports.view import Addition, Answer, Tile

RANGE = 0.95  # of range95
UNMET = (
    "No network that was measured meets the budget; the closest is named. What the rule advises without it stands at "
    "the end of the sentence; gains and resamples below are of that."
)
BUDGET = (
    "A budget decided, whatever is lost by it. What the rule advises without it stands at the end of the sentence; "
    "gains and resamples below are of that."
)


def view_answer(run: Run, curve: DepthCurve, certainty: Certainty, warnings: tuple[str, ...]) -> Answer:
    """The first screen: verdict, sentence, meaning, next steps, warnings, notes and key numbers."""
    answer = run.recommendation
    latency = (answer["width"] if run.command == "width" else answer["depth"]).get("latency") or {}
    said = {f"seed {r['seed']}: {r['what']}" for r in run.of("failure")}
    return Answer(
        verdict=str(answer["verdict"]),
        sentence=str(answer["sentence"]),
        meaning=_meaning_of_budget(str(answer["sentence"])) or _meaning(str(answer["verdict"]), run.command, curve),
        removals=tuple(str(name) for name in answer["remove"]),
        additions=tuple(Addition(after=str(a["after"]), copies=int(a["copies"])) for a in answer["add"]),
        steps=next_steps(
            str(answer["verdict"]),
            run.command,
            curve,
            certainty,
            len(answer["seeds"]),
            unmet=is_unmet(str(answer["sentence"])),
        ),
        warnings=warnings,
        notes=(*_speed(answer), *(str(note) for note in answer["notes"] if note not in said)),
        costs=cost_tiles(curve, latency.get("batch")),
        tiles=tuple(_tiles(curve, certainty, answer)),
    )


def _meaning_of_budget(sentence: str) -> str:
    """Where one decided, and where none of the networks meets it; else ""."""
    return UNMET if is_unmet(sentence) else BUDGET if by_budget(sentence) else ""


def _speed(answer: dict[str, Any]) -> list[str]:
    speed = answer["depth"].get("speed_ms") or answer["width"].get("speed_ms")
    return [say_speed(speed)] if speed else []


def _meaning(verdict: str, command: str, curve: DepthCurve) -> str:
    within = size(curve.tolerance, curve.units)
    if command == "width":
        return _meaning_of_narrowing(verdict, within, curve)
    if command == "shrink":
        return _meaning_of_shrinking(verdict, within, curve)
    if verdict == "deepen" and curve.recommended is not None:
        return (
            f"More depth pays, and by more than longer training alone does. {curve.axis.name(curve.recommended)} is "
            f"the smallest depth that is, with a margin, within the tolerance of {within} of the best one measured."
        )
    if verdict == "keep":
        return f"There is nothing to gain from more depth within the tolerance of {within}: leave the depth as it is."
    if verdict == "inconclusive":
        return (
            "These measurements do not decide whether more depth pays. "
            f"The best guess is {curve.axis.name(curve.best_guess)}; it is a guess, not a recommendation."
        )
    return f"A smaller depth is within the tolerance of {within} of the best one measured."


def _meaning_of_shrinking(verdict: str, within: str, curve: DepthCurve) -> str:
    if verdict == "shrink":
        return f"These units can go: what is left is, after fine-tuning, within {within} of the network as it is."
    if verdict == "keep":
        return (
            f"Nothing can go: every smaller depth loses more than {within}, or may do so. Leave the network as it is."
        )
    return (
        "These measurements do not decide what can go. "
        f"The best guess is {curve.axis.name(curve.best_guess)}; it is a guess, not a recommendation."
    )


def _meaning_of_narrowing(verdict: str, within: str, curve: DepthCurve) -> str:
    if verdict == "narrow":
        return f"These channels can go: what is left is, after fine-tuning, within {within} of the network as it is."
    if verdict == "keep":
        return f"No narrower network is within {within}, or surely so. Leave the width as it is."
    return (
        "These measurements do not decide how narrow the network may be. "
        f"The best guess is {curve.axis.name(curve.best_guess)} of the channels; it is a guess, not a recommendation."
    )


def _tiles(curve: DepthCurve, certainty: Certainty, answer: dict[str, Any]) -> list[Tile]:
    tiles = [_depth_tile(curve, certainty, bool(_meaning_of_budget(answer["sentence"])))]
    # of fewer layers or channels it is the mean of all that are as good, which the accuracy above it is not
    shown = answer["command"] == "grow" and not _meaning_of_budget(answer["sentence"])
    tiles += [
        Tile(
            label=f"Gain {label}",
            value=gained(gain.value, certainty.units),
            detail=_interval(gain, certainty),
        )
        for label, gain in (certainty.gains if shown else ())
    ]
    if answer["test"]:
        saved = curve.current if curve.recommended is None else curve.recommended
        tested = number_of(answer["test"]["examples"], "test example")
        detail = f"saved network, {curve.axis.name(saved)}; {tested}, looked at once"
        tiles.append(
            Tile(
                label=f"Test {curve.units.metric}", value=fraction(answer["test"]["value"], curve.units), detail=detail
            )
        )
    return tiles


def _depth_tile(curve: DepthCurve, certainty: Certainty, budget: bool) -> Tile:
    low, high = certainty.range95 or (0, 0)
    span, label = curve.axis.span(low, high), curve.axis.column
    alone = "weight layers, head included" if curve.axis.noun == "depth" else "of the channels of every unit"
    detail = f"{span} in {percent(RANGE)} of resamples" if certainty.range95 and not budget else alone
    if curve.recommended is None:
        guess = "no network meets the budget" if budget else f"best guess {curve.best_guess}; {detail}"
        return Tile(label=label, value=f"{curve.current} → ?", detail=guess)
    if curve.recommended == curve.current:
        return Tile(label=label, value=curve.axis.name(curve.current), detail=detail)
    return Tile(label=label, value=f"{curve.current} → {curve.axis.name(curve.recommended)}", detail=detail)


def _interval(gain: Estimate, certainty: Certainty) -> str:
    low, high = points(gain.low, certainty.units), points(gain.high, certainty.units)
    return f"{percent(certainty.confidence)} interval {low} to {high}"
