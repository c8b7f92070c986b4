"""What the answers of all probes are made of: how they are asked for, priced, said and written."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from depthprobe.analysis.automatic import decide_automatically
from depthprobe.analysis.budgets import pareto
from depthprobe.analysis.decision import Decision
from depthprobe.analysis.rule import decide
from depthprobe.analysis.tolerance import TARGET
from depthprobe.analysis.units import Units
from depthprobe.analysis.within import count_kept, decide_within
from depthprobe.config import GrowConfig, ShrinkConfig, WidthConfig
from depthprobe.counting import number_of
from depthprobe.errors import TrainingError
from depthprobe.probes.answer import Failure, Recommendation, depth_json, read_failures
from depthprobe.probes.bench import Bench, Plan
from depthprobe.probes.holds import AS_IT_IS, UNTOUCHED
from depthprobe.probes.latencies import latency_facts
from depthprobe.probes.result import Result
from depthprobe.runs import RunFolder
from depthprobe.training.learner import predict, smaller_rate


def chance(bench: Bench[Plan], rank: int) -> float | None:
    """What a network that learned nothing scores on a seed's validation examples, where the metric says that: accuracy
    (top5) of always naming the commonest class (five); R squared of the mean.
    """
    if bench.metric.spec == "r2":
        return 0.0
    if not bench.metric.fraction:
        return None
    labels = bench.split(rank).valid.y
    counts = labels.bincount()
    named = 1 if bench.metric.spec == "accuracy" else min(5, len(counts))
    return float(counts.topk(named).values.sum()) / len(labels)


MOST = 0.5  # of the resamples
FLOORS = {"top5": "always naming the five commonest classes", "accuracy": "always naming the commonest class"}
FLOORS["r2"] = "always giving the mean"


def highest_chance(bench: Bench[Plan], seeds: int) -> float | None:
    """`chance`, the highest over the seeds' examples."""
    floors = [chance(bench, rank) for rank in range(seeds)]
    return max((floor for floor in floors if floor is not None), default=None)


def rule_for(
    bench: Bench[Plan],
    config: GrowConfig | ShrinkConfig | WidthConfig,
    *,
    automatic: bool,
    depths: Sequence[int],
    current: int,
    splits: int,
    guard: float | None = None,
    apart: bool = False,
) -> partial[Decision]:
    """The rule (`decide`) with all but the scores. automatic: nobody asked for the tolerance, a coarser one may be
    decided on where the data resolve no better; splits: how many sets of validation examples the seeds have.
    """
    tolerance = config.tolerance or TARGET
    return partial(
        decide_automatically if automatic else decide,
        depths=depths,
        current=current,
        tolerance=tolerance,
        confidence=config.confidence,
        floor=highest_chance(bench, splits),
        scale=1.0 if bench.metric.known_scale else tolerance / TARGET,
        floor_is=FLOORS.get(bench.metric.spec, ""),
        guard=guard,
        apart=apart,
    )


def price_depths(
    bench: Bench[Plan],
    decision: Decision,
    costs: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float],
    **present: Any,
) -> tuple[Decision, dict[str, Any], str | None]:
    """The decision within `limits`, what recommendation.json says under `depth`, and the sentence of a budget (None:
    none was set). costs: of the candidates, as `network_costs` gives them; present: of the present network, as
    `count_kept` takes it.
    """
    depth = depth_json(decision, costs, latency_facts(bench), bench.metric.bounds)
    if not limits:
        mark_pareto(depth["candidates"])
        return decision, depth, None
    depth["candidates"], depth["present"] = count_kept(
        decision, depth["candidates"], limits, bench.metric.bounds, **present
    )
    mark_pareto(depth["candidates"])
    decision, sentence = decide_within(decision, depth["candidates"], limits, units_of(bench, decision))
    return decision, {**depth, "recommended": decision.recommended, "best_guess": decision.best_guess}, sentence


def mark_pareto(rows: list[dict[str, Any]]) -> None:
    """Under "pareto": whether no other candidate beats it in the metric, parameters and multiply-accumulates together;
    measured latencies differ from run to run.
    """
    for row, best in zip(rows, pareto(rows, ("params", "macs")), strict=True):
        row["pareto"] = best


def units_of(bench: Bench[Plan], decision: Decision) -> Units:
    """How values of the metric are written."""
    metric = bench.metric
    return Units(metric=metric.name, fraction=metric.fraction, tolerance=decision.tolerance)


def all_failed(bench: Bench[Plan], folder: RunFolder, failures: list[Failure]) -> TrainingError:
    """The error of a probe without an answer."""
    failed = len({failure.seed for failure in failures})
    return TrainingError(
        f"all {number_of(failed, 'seed')} failed" if failed > 1 else "the one seed failed",
        where=str(folder.path),
        found="; ".join(f"seed {f.seed}: {f.what}" for f in failures[:3]),
        hint=smaller_rate(bench.train, bench.own),
    )


def say_checkpoint(present: str, records: Sequence[Mapping[str, Any]], units: Units) -> str:
    """What the checkpoint itself has, behind `present`, how the network as it is counts; "" where that is the same."""
    before = next((r["value"] for r in records if (r["kind"], r.get("walk")) == ("measurement", AS_IT_IS)), None)
    return "" if before is None or present == UNTOUCHED else f"; the checkpoint itself has {units.value(before)}"


def say_unverified(asked: bool, verified: dict[str, Any] | None, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why `--verify` says nothing, or which of its trainings failed."""
    failed = [f for f in read_failures(records) if f.arm.startswith("verify")]
    notes = [f"seed {f.seed}, from scratch ({f.arm.removeprefix('verify ')} network): {f.what}" for f in failed]
    if asked and verified is None:
        nothing = "there was nothing to verify: the advice is the network as it is, or no advice"
        notes.append("no pair of trainings from scratch ended: not verified" if failed else nothing)
    return notes


def say_coarser(decision: Decision, planned: float, units: Units) -> list[str]:
    """That the data resolve no better than a coarser tolerance, where it was decided at one."""
    if decision.tolerance <= planned:
        return []
    return [
        f"decided at a tolerance of {units.size(decision.tolerance)}, not the planned {units.size(planned)}: "
        "as measured these data resolve no better; more validation data or seeds would"
    ]


def say_resamples(decision: Decision, name: Callable[[int], str]) -> list[str]:
    """That most resamples name less than what is advised, where they do: looking as good is not enough. name: of a
    depth, or width.
    """
    if decision.recommended is None or not decision.resamples:
        return []
    usual, share = max(decision.resamples.items(), key=lambda item: item[1])
    if usual >= decision.recommended or share <= MOST:
        return []
    return [
        f"{100 * share:.0f} % of resamples name {name(usual)}: as good by their estimates, but here not surely within "
        "the tolerance"
    ]


def say_failed(failed: int, seeds: int) -> list[str]:
    """What a budget's sentence says of failed seeds; the rule's says it by itself."""
    return [f"{failed} of {number_of(seeds, 'seed')} failed"] if failed else []


def join_sentence(sentence: str | None, notes: Sequence[str]) -> str | None:
    """A sentence of a budget with what a sentence ends with; None where there is none."""
    return None if sentence is None else "; ".join([sentence.removesuffix("."), *notes]) + "."


def write_answer(folder: RunFolder, about: Mapping[str, Any], net: nn.Module, recommendation: Recommendation) -> Result:
    """Recipe, model and the recommendation last: a run is finished when it is there. about: of `about_model`."""
    folder.write_text("recipe.json", about["recipe"])
    folder.write_torch("model.pt", {"state_dict": net.state_dict(), "depthprobe": about})
    folder.write_json("recommendation.json", recommendation.to_json())
    return Result(folder.path, recommendation, net)


def score_test(bench: Bench[Plan], net: nn.Module, rank: int) -> dict[str, Any]:
    """The one look at the test split: the saved network's metric."""
    test = bench.split(rank).test
    value = bench.metric.value(predict(net, test.x, torch.device("cpu")), test.y)
    return {"value": value, "examples": len(test)}
