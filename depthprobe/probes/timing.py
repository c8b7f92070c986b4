"""Prices of a probe on this machine: the real things, done a few times in turn and thrown away."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.errors import TrainingError
from depthprobe.inputs import Split
from depthprobe.probes.arms import TRACE_EXAMPLES
from depthprobe.probes.bench import Bench, undisturbed
from depthprobe.probes.cost import Prices, Span
from depthprobe.probes.holds import branch_and_cool, measure
from depthprobe.probes.plan import GrowPlan, candidate_net, grown
from depthprobe.training.batches import Batches
from depthprobe.training.learner import Learner, predict
from depthprobe.training.metrics import Metric
from depthprobe.training.writing import write_torch

SECONDS = 3.0  # timing ends after about so long
BLOCK = 0.04  # seconds of one thing in a row: several time slices of a shared processor
LATENCY_PASSES = 5.0  # an update's worth of the forward passes that measure one candidate's latency and MACs


@dataclass
class Stopwatch:
    """How long a thing takes: the mean over blocks, so that being interrupted counts as it will count later.

    do: called with how often; prepare: called before every block, not counted.
    """

    do: Callable[[int], object]
    prepare: Callable[[], object] = lambda: None
    repeats: int = 1
    spent: float = 0.0
    done: int = 0

    def warm(self) -> None:
        """The first time is not counted, unless it takes long; the second tells how often it fits into a block."""
        self.prepare()
        first = self._timed(1)
        if first > 10 * BLOCK:
            self.spent, self.done = first, 1
        else:
            self.repeats = max(1, min(200, int(BLOCK / max(1e-6, self._timed(1)))))

    def block(self) -> None:
        """One block, counted."""
        self.prepare()
        self.spent += self._timed(self.repeats)
        self.done += self.repeats

    def _timed(self, times: int) -> float:
        begin = time.perf_counter()
        self.do(times)
        return time.perf_counter() - begin

    @property
    def seconds(self) -> float:
        """Mean seconds of doing it once."""
        return self.spent / max(1, self.done)


def time_probe(bench: Bench[GrowPlan], *, seeds: int, limit: float = SECONDS) -> Prices:
    """Time what a probe is made of, in turn, for about `limit` seconds; nothing is kept, random states as found.

    Every part is timed at least once, however long that takes.
    """
    begin = time.perf_counter()
    with undisturbed(bench.accelerator.device), tempfile.TemporaryDirectory(prefix="depthprobe-") as folder:
        watches, built = _watches(bench, Path(folder))
        for watch in watches.values():
            watch.warm()
        updates = [watches[name] for name in ("shut", "ramping", "wide", "base", "deepest")]
        rounds = 0
        while rounds < 2 or time.perf_counter() - begin < limit:
            for watch in updates if rounds else watches.values():
                watch.block()
            rounds += 1
            if time.perf_counter() - begin > 3 * limit:
                break
        took = {name: watch.seconds for name, watch in watches.items()}
        deciding = _time_deciding(bench, seeds)
    gated = Span(took["shut"], took["wide"])
    glances = len(bench.split(0).test) / min(TRACE_EXAMPLES, len(bench.split(0).valid))
    each = took["branch"] + LATENCY_PASSES * took["deepest"]
    return Prices(
        gated=gated,
        ramping=max(0.0, took["ramping"] - gated.at(ramping_share(bench.plan))),
        plain=Span(took["base"], took["deepest"]),
        score=Span(took["score base"], took["score deepest"]),
        glance=Span(took["glance base"], took["glance deepest"]),
        branch=took["branch"],
        save=took["save"],
        begin=built,
        finish=len(bench.plan.candidates) * each + glances * took["glance deepest"] + deciding,
    )


def _watches(bench: Bench[GrowPlan], folder: Path) -> tuple[dict[str, Stopwatch], float]:
    """One stopwatch per price, and the seconds that building an arm's network took."""
    plan, split, device = bench.plan, bench.split(0), bench.accelerator.device
    start = time.perf_counter()
    edited = grown(bench.build(0), plan.edits, split.train.x[:2], 0)
    built = time.perf_counter() - start
    batches = Batches(split.train, bench.train.batch_size, 0, bench.augment, device)
    small, large, gated = (
        Learner(net, batches, bench.train, bench.accelerator, bench.own)
        for net in (candidate_net(edited, ()), candidate_net(edited, plan.gates[: plan.opened[-1]]), edited)
    )
    opened, names = ramping_state(plan), list(edited.gates)

    def at(ratios: list[float]) -> Callable[[], object]:
        return lambda: edited.set_ratios(dict(zip(names, ratios, strict=True)))

    def update(learner: Learner) -> Callable[[int], object]:
        return lambda times: learner.run(learner.step + times, lambda step: 0.0)

    x, y = split.valid.x[:TRACE_EXAMPLES], split.valid.y[:TRACE_EXAMPLES]
    return {
        "shut": Stopwatch(update(gated), at([0.0] * len(names))),
        "ramping": Stopwatch(update(gated), at(opened)),
        "wide": Stopwatch(update(gated), at([1.0] * len(names))),
        "base": Stopwatch(update(small)),
        "deepest": Stopwatch(update(large)),
        "score base": Stopwatch(often(lambda: _score(small, split, bench.metric))),
        "score deepest": Stopwatch(often(lambda: _score(large, split, bench.metric))),
        "glance base": Stopwatch(often(lambda: bench.metric.value(predict(small.net, x, device), y))),
        "glance deepest": Stopwatch(often(lambda: bench.metric.value(predict(large.net, x, device), y))),
        "branch": Stopwatch(often(lambda: branch_and_cool(gated, edited, 0, 0, bench.rates)), at([1.0] * len(names))),
        "save": Stopwatch(often(lambda: _save(folder / "state.pt", gated.state()))),
    }, built


def _save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a disk that is full now may have room where the run will be."""
    with suppress(OSError):
        write_torch(path, state)


def _score(learner: Learner, split: Split, metric: Metric) -> None:
    """Measure; an untrained network without a finite score takes as long."""
    with suppress(TrainingError):
        measure(learner, split, metric)


def often(do: Callable[[], object]) -> Callable[[int], object]:
    """`do`, as often as asked."""

    def repeat(times: int) -> None:
        for _ in range(times):
            do()

    return repeat


def ramping_state(plan: GrowPlan) -> list[float]:
    """Ratios half way up: the first half of the gates open, the next ones at a half, the others shut."""
    half = (len(plan.gates) - 1) // 2
    ratios = [1.0] * half + [0.5] * plan.lengths.overlap + [0.0] * len(plan.gates)
    return ratios[: len(plan.gates)]


def ramping_share(plan: GrowPlan) -> float:
    """Share of the added multiply-accumulates that is computed at `ramping_state`."""
    state = zip(ramping_state(plan), plan.gate_macs, strict=True)
    return sum(ratio * macs for ratio, macs in state) / max(1, sum(plan.gate_macs))


def _time_deciding(bench: Bench[GrowPlan], seeds: int) -> float:
    """Seconds that the deciding rule takes on numbers of the right shape."""
    plan, split, dice = bench.plan, bench.split(0), np.random.default_rng(0)
    count = len(split.valid)
    scores = [
        SeedScores(
            seed=seed,
            candidates=(dice.random((len(plan.depths), count)) < 0.5).astype(float),
            control=(dice.random(count) < 0.5).astype(float),
            examples="timing",
        )
        for seed in range(seeds)
    ]
    begin = time.perf_counter()
    decide(scores, depths=plan.depths, current=plan.depths[0], tolerance=0.005)
    return time.perf_counter() - begin
