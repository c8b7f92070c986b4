"""What stands below the figures: how to read them."""

from depthprobe.reports.cost_figure import pareto_front
from depthprobe.reports.measured import DepthCurve

COOLED = "Every point is a network cooled to a learning rate of zero and measured on validation examples."
HOW = {
    "grow": "The walk down is the estimate; on the way up the shallow depths were trained less. The control had the "
    "same updates and no growth: depth counts only beyond it.",
    "shrink": "Units leave one after another on a walk with short looks; the candidates worth it are then trained as "
    "long as a conventional training, taught by the whole network. The control is the whole network, trained on for as "
    "many updates: a smaller one must not win by longer training.",
    "width": "Every narrower network is cut at once from the whole one and fine-tuned by itself. The control is the "
    "whole network, trained on for as many updates: a narrower one must not win by longer training.",
}
STAIRS = (
    "Channels are cut for good, in all units at once, while the rest is fine-tuned. The control is the whole network, "
    "fine-tuned for as many updates: a narrower one must not win by longer training."
)  # of width, before its course 3
COURSE = "Lines are networks as they train, on the first validation examples; the steps of each begin at 0."
HOLDS = {
    "depth": " Diamonds are cooled copies, measured at the end of a hold (vertical lines) or of a training.",
    "width": " Diamonds are measurements, the learning rate at 0 (vertical lines).",
}
GATES = " Gates are in the order of the data flow, input on top: pale is skipped (p = 0), dark is fully in (p = 1)."
LOSS = (
    "Loss of the training batches, as it was at each recorded step. Dashed: controls; dash-dotted: trainings of one "
    "depth each; dotted: of --verify."
)
RANKING = "Every unit bypassed alone, without any training, BatchNorm re-estimated. Green ones are advised to go."
WIDTHS = "Advised widths were measured together and fine-tuned; those that are enough alone were not trained at all."
RATES = "The whole probe again at a third and at three times the learning rate, same seeds."
PLACES = "The copies of one place alone, the others closed again and fine-tuned, over the network without copies."
VERIFIED = (
    "The advised and the current architecture, new weights, trained conventionally with the same seeds and steps."
)
RANGE = "A short training of the base network while the rate rises: the loss falls, then is lost."


def depth_caption(command: str, curve: DepthCurve, *, budget: bool = False) -> str:
    """Of the curve. budget: one decided, not the rule."""
    how = STAIRS if command == "width" and not curve.apart else HOW[command]
    if budget:
        return (
            f"{COOLED} {how} Recommended is what the budget allows: the smallest that keeps an accuracy, else the "
            "smallest of those that are as good as the best that fits."
        )
    return (
        f"{COOLED} {how} Recommended is the smallest {curve.axis.noun} within 0.8 times the tolerance of the "
        "best one on the estimated curve, if its shortfall is bounded by the tolerance."
    )


def costs_caption(curve: DepthCurve, latency: str) -> str:
    """Of the candidates' costs."""
    front = "; the dotted line joins those that no other beats, by parameters and MACs or by latency"
    joined = front if len(pareto_front(curve)) > 1 else ""
    return f"Areas are parameters, numbers the {curve.axis.noun}{joined}. Latency: {latency}."


def gains_caption(noun: str, confidence: str) -> str:
    """Of the gains."""
    wider = "deeper" if noun == "depth" else "wider"
    return (
        f"Mean of the recommended {noun} and of the {wider} ones within the tolerance, minus the current one and minus "
        f"the control, with {confidence} intervals. Dotted: the tolerance; dashed: the smallest step that these "
        "data resolve."
    )
