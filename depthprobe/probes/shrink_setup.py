"""The setup of a shrink probe: checked, ranked and planned before anything is created, and read back on resume."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from depthprobe.analysis.tolerance import auto_tolerance
from depthprobe.analysis.within import check_reachable
from depthprobe.config import ShrinkConfig
from depthprobe.inputs import Split
from depthprobe.probes.bench import Arm
from depthprobe.probes.fine_tuning import check_trained, choose_rate, open_fine_tuning
from depthprobe.probes.own import Asked
from depthprobe.probes.ranking import PROBED, Ranked, find_idle, rank_units
from depthprobe.probes.setup import DataSource
from depthprobe.probes.shrink_cost import forecast_shrink
from depthprobe.probes.shrink_plan import ShrinkPlan, choose_units, plan_shrink
from depthprobe.probes.teaching import choose_teacher, taught_macs
from depthprobe.probes.tolerance import fix_tolerance, say_tolerance
from depthprobe.probes.trained import TrainedModel
from depthprobe.probes.trained_setup import TrainedSetup, as_recorded, create_folder, reopen_model
from depthprobe.runs import RunFolder
from depthprobe.training.batches import Batches

REACH = 4.0  # tolerances that a network may lie below the best at its short look and still be worth a long branch
Records = Sequence[Mapping[str, Any]]
COURSE = 5  # of what is trained, and in which order: runs that another one began cannot be carried on


@dataclass(frozen=True, kw_only=True)
class ShrinkSetup(TrainedSetup[ShrinkPlan, ShrinkConfig]):
    """Everything resolved and checked, nothing created yet. ranking: of the units that may leave; whole: the metric of
    the checkpoint as it is, on validation data; ran: the arms so far, which depend on what was measured.
    """

    ranking: tuple[Ranked, ...]
    whole: float
    ran: tuple[Arm, ...] = ()

    @property
    def lost(self) -> float:
        """The loss of the metric from which no recovery is expected."""
        least = self.config.beyond * (1.0 if self.bench.metric.known_scale else abs(self.whole))
        return max(least, REACH * (self.config.tolerance or 0.0))

    @property
    def arms(self) -> list[Arm]:
        """The trainings that are known of, in the order in which they run."""
        return list(self.ran or (Arm(self.seeds[0], 0, "shrink"),))

    def to_json(self) -> dict[str, Any]:
        """config.json: resolved, enough to run the same again."""
        return {
            **self.describe("shrink", COURSE),
            "gates": list(self.bench.plan.gates),
            "idle": list(self.model.idle),
            "ranking": [row.to_json() for row in self.ranking],
            "whole": self.whole,
            **self.own.to_json(),
        }


def set_up_shrink(
    model: TrainedModel,
    source: DataSource,
    config: ShrinkConfig,
    typed: Mapping[str, Any],
    *,
    asked: Asked | None = None,
    record: Mapping[str, Any] | None = None,
) -> ShrinkSetup:
    """Check everything, rank the units, plan. Raises UsageError; nothing is created.

    typed: training settings that were given; the others are those of the checkpoint, where it says them. record:
    config.json of the run that is resumed: rate and ranking are taken from there.
    """
    begun = time.monotonic()
    tuning = open_fine_tuning(model, source, config, typed, asked or Asked(record=record))
    split, own, device = tuning.split, tuning.own, tuning.accelerator.device
    batches = Batches(split.train, tuning.train.batch_size, 0, own.augment(tuning.augment), device)
    idle = find_units_idle(tuning.network, split, config) if record is None else tuple(record["idle"])
    model = replace(model, idle=idle)
    tuning, network = replace(tuning, model=model), model.build()
    if record is None:
        names = [unit.name for unit in choose_units(network, tuning.example, config, idle)]
        ranked, whole = rank_units(network, names, split, batches, own.metric, device)
    else:
        ranked, whole = [Ranked(**row) for row in record["ranking"]], float(record["whole"])
    plan = plan_shrink(network, tuning.example, ranked, config, tuning.train, len(split.train))
    check_reachable([asdict(candidate) for candidate in plan.candidates], config.limits)
    lr, lr_note, range_test = choose_rate(tuning, config.lr_share, record)
    teacher = choose_teacher(network.to(device), batches, config.distill, own, len(tuning.data.classes))
    bench = replace(tuning.bench(plan, lr), teacher=teacher)
    check_trained(bench, whole, model.where)
    auto, automatic = auto_tolerance(len(split.valid), config.seeds, folds=False), config.tolerance is None
    config = fix_tolerance(config, auto, own.metric)
    return ShrinkSetup(
        model=model,
        data_source=source,
        data=tuning.data,
        bench=bench,
        config=config,
        tolerance_note=say_tolerance(config, auto, len(split.valid), 1, own.metric),
        tolerance_auto=automatic,
        forecast=forecast_shrink(plan, config.seeds, taught_macs(bench)),
        notes=tuning.notes,
        own=own,
        lr_note=lr_note,
        range_test=range_test,
        ranking=tuple(ranked),
        whole=whole,
        split_of=tuning.split_of,
        setup_seconds=time.monotonic() - begun,
    )


def find_units_idle(network: nn.Module, split: Split, config: ShrinkConfig) -> tuple[str, ...]:
    """Names of the units that may leave and change nothing."""
    names = [unit.name for unit in choose_units(network, split.train.x[:2], config)]
    return tuple(find_idle(network, names, split.valid.x[:PROBED]))


def create_shrink(setup: ShrinkSetup, out: Path | None) -> RunFolder:
    """The run folder of a new probe."""
    return create_folder(setup, "shrink", setup.to_json(), out)


def reopen_shrink(folder: RunFolder) -> ShrinkSetup:
    """The setup of an interrupted run. Raises when the checkpoint, the model or the data are no longer the same."""
    record = folder.config
    model, source = reopen_model(folder, COURSE)
    setup = set_up_shrink(model, source, ShrinkConfig.from_json(record["shrink"]), record["train"], record=record)
    return as_recorded(setup, folder)
