"""The grow probe: would more depth pay, and where does it stop paying?"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.analysis.decision import Decision
from depthprobe.analysis.rule import decide
from depthprobe.analysis.sentence import say
from depthprobe.analysis.tolerance import auto_tolerance
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ModelError, TrainingError
from depthprobe.graph.costs import measure_latency_ms
from depthprobe.inputs import Dataset, InMemoryModel, ModelSource, is_small
from depthprobe.probes.answer import (
    Failure,
    Recommendation,
    as_json,
    as_share,
    depth_json,
    find_collapse,
    read_failures,
    read_scores,
)  # fmt: skip
from depthprobe.probes.arms import Arm, Bench, run_control_arm, run_grow_arm
from depthprobe.probes.cost import Forecast, cost_json, forecast, time_steps
from depthprobe.probes.environment import describe_environment
from depthprobe.probes.listener import Listener
from depthprobe.probes.plan import GrowPlan, candidate_net, grown, plan_grow
from depthprobe.probes.result import Result
from depthprobe.probes.setup import (
    DataSource,
    Source,
    about_model,
    check_outputs,
    check_same_data,
    choose_augment,
    other_model,
    recipe_network,
    split_by_rank,
)  # fmt: skip
from depthprobe.runs import RunFolder
from depthprobe.surgery import recipe_to_json
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import predict

CANDIDATES = "checkpoints/candidates"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything resolved and checked, nothing created yet."""

    model: Source
    data_source: DataSource
    data: Dataset
    bench: Bench
    config: GrowConfig
    tolerance_note: str
    forecast: Forecast
    notes: tuple[str, ...]

    @property
    def arms(self) -> list[Arm]:
        """All trainings in the order in which they run."""
        return [
            Arm(self.config.seed + rank, rank, kind)
            for rank in range(self.config.seeds)
            for kind in ("grow", "control")
        ]

    def to_json(self) -> dict[str, Any]:
        """config.json: resolved, enough to run the same again."""
        return {
            "model": self.model.to_json(),
            "data": self.data_source.to_json(self.data),
            "train": self.bench.train.to_json(),
            "grow": self.config.to_json(),
            "tolerance_note": self.tolerance_note,
            "gates": list(self.bench.plan.gates),
        }


def set_up(model: Source, source: DataSource, config: GrowConfig, train: TrainConfig, *, timed: bool = True) -> Setup:
    """Check everything that can be checked before training, choose what is left open, forecast the cost.

    Raises UsageError of some kind; nothing is created.
    """
    accelerator = open_device(train.device, train.precision, train.threads)
    data = source.open()
    folds = config.seeds if is_small(data) and data.valid is None else 1
    split = split_by_rank(data, config.split_seed, folds)
    first = split(0)
    network = model.build(config.seed)
    example = first.train.x[:2]
    plan = plan_grow(network, example, config, train, len(first.train))
    check_outputs(network, example, data)
    tolerance = auto_tolerance(len(first.valid), config.seeds, folds=folds > 1)
    augment = choose_augment(train, data, example)
    train = replace(train, steps=plan.steps, augment=augment)
    bench = Bench(build=model.build, split=split, plan=plan, train=train, augment=augment, accelerator=accelerator)
    batches = Batches(first.train, train.batch_size, 0, augment, accelerator.device)
    seconds = time_steps(model.build(config.seed), plan, batches, train, accelerator) if timed else None
    config = replace(config, tolerance=config.tolerance if config.tolerance is not None else round(tolerance.value, 4))
    return Setup(
        model=model,
        data_source=source,
        data=data,
        bench=bench,
        config=config,
        tolerance_note=_tolerance_note(config, tolerance, len(first.valid), folds),
        forecast=forecast(plan, config.seeds, seconds, valid=len(first.valid), batch_size=train.batch_size),
        notes=_same_weights(model, config),
    )


def _same_weights(model: Source, config: GrowConfig) -> tuple[str, ...]:
    if config.seeds < 2:
        return ("one seed: no interval over seeds",)
    one, two = (list(model.build(config.seed + rank).parameters()) for rank in range(2))
    if all(torch.equal(a, b) for a, b in zip(one, two, strict=True)):
        return ("the model file draws the same weights for every seed (does it call torch.manual_seed?)",)
    return ()


def _tolerance_note(config: GrowConfig, auto: Any, examples: int, folds: int) -> str:
    per = f"{examples} validation examples{' per seed' if folds > 1 else ''} and {config.seeds} seeds"
    if config.tolerance is not None and abs(config.tolerance - round(auto.value, 4)) > 1e-9:
        reach = auto.resolvable
        finer = "" if reach <= config.tolerance else f"; {per} resolve about {reach:.4f} only"
        return f"tolerance {config.tolerance:.4f} (as asked){finer}"
    if auto.value <= auto.target:
        return f"tolerance {auto.value:.4f}: {per} can resolve it"
    needed, seeds = auto.both_needed
    return (
        f"tolerance {auto.value:.4f}: the smallest step that {per} can resolve; "
        f"{auto.target:g} would take about {seeds} seeds with {needed} examples{' each' if folds > 1 else ''}"
    )


class _Notebook:
    """Writes an arm's records, candidates and checkpoints into the run folder, and tells the listener."""

    def __init__(self, folder: RunFolder, listener: Listener, index: int, failed: set[int], begun: float) -> None:
        self.folder, self.listener, self.index, self.failed = folder, listener, index, failed
        self.begun, self.number = begun, index * 10**6

    def record(self, record: dict[str, Any]) -> None:
        self.folder.append(record)
        self.listener.recorded(record)

    def keep(self, arm: Arm, opened: int, net: nn.Module) -> None:
        if all(rank in self.failed for rank in range(arm.rank)):
            payload = {"rank": arm.rank, "seed": arm.seed, "state_dict": net.state_dict()}
            name = opened if arm.kind == "grow" else arm.kind
            self.folder.write_torch(f"{CANDIDATES}/{name}.pt", payload)

    def progress(self, arm: Arm, step: int, loss: float, ratios: list[float]) -> None:
        self.listener.progress(arm, step, loss, ratios)

    def checkpoint(self, arm: Arm, state: dict[str, Any]) -> None:
        payload = {"arm": self.index, "learner": state, "seconds": time.monotonic() - self.begun}
        self.folder.save(self.number + state["step"], payload)


def run_grow(setup: Setup, folder: RunFolder, listener: Listener) -> Result:
    """Train what is left to train, decide, and write the answer into the run folder."""
    payload = folder.restore()
    begun = time.monotonic() - payload["seconds"]
    arms = setup.arms
    listener.begun(setup, payload["arm"])
    for index in range(payload["arm"], len(arms)):
        arm = arms[index]
        failures = read_failures(list(folder.records()))
        state = payload["learner"] if index == payload["arm"] else None
        if arm.kind == "control" and any(f.seed == arm.seed for f in failures):
            continue
        failed = {f.seed - setup.config.seed for f in failures}
        notebook = _Notebook(folder, listener, index, failed, begun)
        listener.arm_begun(arm, state["step"] if state else 0)
        _run_arm(setup, arm, notebook, state)
        done = {"arm": index + 1, "learner": None, "seconds": time.monotonic() - begun}
        folder.save((index + 1) * 10**6, done)
    return conclude(setup, folder, time.monotonic() - begun)


def _run_arm(setup: Setup, arm: Arm, notebook: _Notebook, state: dict[str, Any] | None) -> None:
    bench = setup.bench
    run = run_grow_arm if arm.kind == "grow" else run_control_arm
    try:
        learner = run(bench, arm, notebook, state)
        samples = learner.samples
        failure = _collapse(bench, arm, notebook) if arm.kind == "grow" else None
    except TrainingError as error:
        samples = 0
        failure = Failure(arm.seed, arm.kind, f"diverged: {error.what}")
    if failure is not None:
        notebook.record({"kind": "failure", "arm": arm.kind, "seed": arm.seed, "what": failure.what})
    schedule = bench.plan.schedule(arm.rank)
    branches = len(schedule.holds) if arm.kind == "grow" else 1
    updates = schedule.steps + branches * bench.plan.cool
    notebook.record({"kind": "arm", "arm": arm.kind, "seed": arm.seed, "updates": updates, "samples": samples})


def _collapse(bench: Bench, arm: Arm, notebook: _Notebook) -> Failure | None:
    return find_collapse(list(notebook.folder.records()), arm.seed, chance(bench, arm.rank))


def chance(bench: Bench, rank: int) -> float:
    """Accuracy of always naming the commonest class of a seed's validation examples."""
    labels = bench.split(rank).valid.y
    return float(labels.bincount().max()) / len(labels)


def conclude(setup: Setup, folder: RunFolder, seconds: float) -> Result:
    """Decide on the records of a completed probe; write recipe, model and, last, the recommendation."""
    plan, config = setup.bench.plan, setup.config
    records = list(folder.records())
    failures = read_failures(records)
    seeds = [config.seed + rank for rank in range(config.seeds)]
    scores = read_scores(records, plan.opened, seeds)
    if not scores:
        raise TrainingError(
            f"all {len(seeds)} seeds failed",
            where=str(folder.path),
            found="; ".join(f"seed {f.seed}: {f.what}" for f in failures[:3]),
            hint=f"a smaller rate: --lr {setup.bench.train.lr / 3:.2g}",
        )
    decision = decide(
        scores,
        depths=plan.depths,
        current=plan.depths[0],
        tolerance=config.tolerance or 0.005,
        confidence=config.confidence,
        floor=max(chance(setup.bench, rank) for rank in range(config.seeds)),
    )
    opened = _opened_of(plan, decision)
    net, rank = _saved_network(setup, folder, decision, opened)
    recipe = plan.recipe(opened, rank)
    test = _score(setup, net, rank)
    notes = [f"seed {f.seed}: {f.what}" for f in failures] + list(decision.reasons) + list(setup.notes)
    if decision.recommended == plan.depths[-1]:
        copies = 2 * max(edit.copies for edit in plan.edits)
        notes.append(f"the deepest candidate is the answer: more may pay, --copies {copies} looks further")
    recommendation = Recommendation(
        command="grow",
        verdict=decision.verdict,
        sentence=say(decision, seeds=len(seeds), failed_seeds=len({f.seed for f in failures})),
        metric="accuracy",
        tolerance=decision.tolerance,
        confidence=decision.confidence,
        resolution=decision.resolution,
        seeds=seeds,
        failed_seeds=sorted({f.seed for f in failures}),
        depth=depth_json(decision, _candidate_costs(setup), _latency_of(setup)),
        width={"units": []},
        add=[{"after": edit.unit, "copies": edit.copies} for edit in recipe] if decision.verdict == "deepen" else [],
        remove=[],
        control=as_share(decision.control),
        verified=None,
        cost=cost_json(plan, config, records, seconds),
        gain={"over_current": as_json(decision.gain), "over_control": as_json(decision.gain_over_control)},
        test=test,
        notes=notes,
    )
    text = recipe_to_json(recipe)
    folder.write_text("recipe.json", text)
    device = str(setup.bench.accelerator.device)
    about = about_model(setup.model, setup.data_source, setup.data, config.split_seed, text, device)
    folder.write_torch("model.pt", {"state_dict": net.state_dict(), "depthprobe": about})
    folder.write_json("recommendation.json", recommendation.to_json())
    return Result(folder.path, recommendation, net)


def _opened_of(plan: GrowPlan, decision: Decision) -> int:
    depth = decision.recommended if decision.recommended is not None else decision.current
    return plan.opened[plan.depths.index(depth)]


def _saved_network(setup: Setup, folder: RunFolder, decision: Decision, opened: int) -> tuple[nn.Module, int]:
    """The cooled network of the first seed that did not fail, at `opened` gates on its way down; for the base depth the
    control's where that is the better of the two on validation data.
    """
    control = opened == 0 and decision.control.value >= decision.candidates[0].value
    name = "control" if control else opened
    saved = torch.load(folder.path / f"{CANDIDATES}/{name}.pt", map_location="cpu", weights_only=True)
    rank = int(saved["rank"])
    example = setup.bench.split(rank).train.x[:2]
    net = recipe_network(setup.bench.build(saved["seed"]), setup.bench.plan.recipe(opened, rank), example)
    net.load_state_dict(saved["state_dict"])
    return net, rank


def _score(setup: Setup, net: nn.Module, rank: int) -> dict[str, Any]:
    """The one look at the test split: the saved network's accuracy."""
    test = setup.bench.split(rank).test
    right = predict(net, test.x, torch.device("cpu")).argmax(1) == test.y
    return {"value": float(right.double().mean()), "examples": len(test)}


def _candidate_costs(setup: Setup) -> list[dict[str, Any]]:
    """Parameters, MACs and latency (one batch, this device) of every candidate."""
    plan, accelerator = setup.bench.plan, setup.bench.accelerator
    x = setup.bench.split(0).train.x[: setup.bench.train.batch_size].to(accelerator.device)
    edited = grown(setup.bench.build(setup.config.seed), plan.edits, x[:2].cpu(), 0)
    return [
        {
            "params": candidate.params,
            "macs": candidate.macs,
            "latency_ms": round(
                measure_latency_ms(candidate_net(edited, candidate.opened).to(accelerator.device), x), 4
            ),
        }
        for candidate in plan.candidates
    ]


def _latency_of(setup: Setup) -> dict[str, Any]:
    """What `latency_ms` was measured with."""
    batch = min(setup.bench.train.batch_size, len(setup.bench.split(0).train))
    return {"batch": batch, "device": str(setup.bench.accelerator.device), "threads": torch.get_num_threads()}


def create_run(setup: Setup, out: Path | None) -> RunFolder:
    """The run folder of a new probe."""
    environment = describe_environment(str(setup.bench.accelerator.device))
    return RunFolder.create(out, "grow", setup.to_json(), environment)


def reopen(folder: RunFolder, model: InMemoryModel | None = None) -> Setup:
    """The setup of an interrupted run. Raises when the model or the data are no longer the same."""
    config: Mapping[str, Any] = folder.config
    source = DataSource.from_json(config["data"])
    try:
        opened = model or ModelSource.from_json(config["model"])
        setup = set_up(
            opened,
            source,
            GrowConfig.from_json(config["grow"]),
            TrainConfig.from_json(config["train"]),
            timed=False,
        )
    except ModelError as error:
        raise other_model(folder, error) from error
    check_same_data(folder, setup.data)
    return replace(setup, tolerance_note=config["tolerance_note"])
