"""What to do after each verdict."""

import math

from depthprobe.counting import number_of
from depthprobe.reports.measured import Certainty, DepthCurve, Estimate
from depthprobe.reports.numbers import size
from depthprobe.reports.view import Step

APPLY = """\
import torch
import depthprobe as dp

saved = torch.load("model.pt", weights_only=True)
edits = dp.recipe_from_json(saved["depthprobe"]["recipe"])
advised = dp.settle(dp.apply(model, edits, example_inputs))  # model: yours; example_inputs: a small batch
advised.load_state_dict(saved["state_dict"])  # leave out for new weights"""
MOST_TIMES = 10
ELSEWHERE = {"depth": "width", "width": "depth"}


def next_steps(
    verdict: str, command: str, curve: DepthCurve, certainty: Certainty, seeds: int, *, unmet: bool = False
) -> tuple[Step, ...]:
    """Next steps, the most useful first. seeds: how many were trained; unmet: no network met the budget."""
    if verdict in ("deepen", "shrink", "narrow"):
        return (
            Step(text="Use the trained network as it is: model.pt in the run folder holds its weights and its recipe."),
            Step(text="Load it, as a plain torch module, in the run folder:", code=APPLY),
        )
    if verdict == "keep":
        return (_look_finer(certainty, seeds),)
    if verdict == "inconclusive" and unmet:
        return (Step(text="Ask with a wider budget: the sentence names the closest network that was measured."),)
    if verdict == "inconclusive":
        return tuple(_settle(command, curve, certainty, seeds))
    return ()


def _look_finer(certainty: Certainty, seeds: int) -> Step:
    text = f"Spend the effort elsewhere: {ELSEWHERE[certainty.axis.noun]}, data, training."
    if certainty.resolution > 0:
        text += (
            f" As measured, these data resolve steps of {size(certainty.resolution, certainty.units)}; to look for "
            f"smaller ones, take more than {number_of(seeds, 'seed')} or more validation examples."
        )
    return Step(text=text)


def _settle(command: str, curve: DepthCurve, certainty: Certainty, seeds: int) -> list[Step]:
    steps, needed = [], seeds_needed(certainty, seeds)
    if len(curve.candidates) < 2:
        option = "give --ratios" if command == "width" else "raise --copies, or give --candidates"
        steps.append(Step(text=f"Measure more than one {curve.axis.noun}: {option}."))
    elif needed is None:
        steps.append(Step(text="More seeds, or more validation examples: the intervals are too wide to tell."))
    elif needed <= MOST_TIMES * seeds:
        steps.append(
            Step(
                text=f"About {number_of(needed, 'seed')} instead of {seeds} should settle it, "
                "if the effect and the spread are what they look like now.",
                code=f"--seeds {needed}",
            )
        )
    else:
        steps.append(
            Step(
                text=f"More seeds alone will hardly settle it (about {needed:,} would be needed): take more "
                "validation examples, or accept a larger --tolerance."
            )
        )
    change = {"shrink": "take layers out", "width": "cut channels"}.get(command, "add layers")
    here = curve.axis.name(curve.current)
    steps.append(Step(text=f"Until then, stay at {here}: this is not enough evidence to {change}."))
    return steps


def seeds_needed(certainty: Certainty, seeds: int) -> int | None:
    """Seeds at which the gains would clear zero and the resolution the tolerance; None when no number follows.

    The spread of a mean falls with the root of their number.
    """
    shortfalls = [_shortfall(gain) for _, gain in certainty.gains if gain.low <= 0 < gain.value]
    if certainty.resolution > certainty.tolerance > 0:
        shortfalls.append(certainty.resolution / certainty.tolerance)
    if not shortfalls:
        return None
    return max(seeds + 1, math.ceil(seeds * max(shortfalls) ** 2))


def _shortfall(gain: Estimate) -> float:
    return (gain.value - gain.low) / gain.value
