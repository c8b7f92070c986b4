"""The setup of a width probe: checked, measured without training and planned before anything is created."""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from depthprobe.analysis.tolerance import auto_tolerance
from depthprobe.analysis.within import check_reachable
from depthprobe.config import WidthConfig
from depthprobe.probes.alone import Scale, Untrained, calibration, measure_untrained
from depthprobe.probes.bench import Arm, Bench, undisturbed
from depthprobe.probes.cost import Forecast
from depthprobe.probes.fine_tuning import check_trained, choose_rate, open_fine_tuning
from depthprobe.probes.own import Asked
from depthprobe.probes.profiles import choose_profile, uneven_widths
from depthprobe.probes.setup import DataSource
from depthprobe.probes.teaching import choose_teacher, prepared_macs, taught_macs
from depthprobe.probes.tolerance import fix_tolerance, say_tolerance
from depthprobe.probes.trained import TrainedModel
from depthprobe.probes.trained_setup import TrainedSetup, as_recorded, create_folder, reopen_model
from depthprobe.probes.width_plan import WidthPlan, plan_width, with_widths
from depthprobe.runs import RunFolder
from depthprobe.training.batches import Batches

COURSE = 3  # of what is trained, and in which order: runs that another one began cannot be carried on


@dataclass(frozen=True, kw_only=True)
class WidthSetup(TrainedSetup[WidthPlan, WidthConfig]):
    """Everything resolved and checked, nothing created yet. untrained: what narrower copies are worth before any
    training, on validation data; start: the metric of the network that is narrowed.
    """

    untrained: Untrained
    start: float

    @property
    def arms(self) -> list[Arm]:
        """All trainings in the order in which they run. One control: all seeds start from the same weights."""
        walks = [Arm(seed, rank, "width") for rank, seed in enumerate(self.seeds)]
        return [Arm(self.seeds[0], 0, "control"), *walks]

    def to_json(self) -> dict[str, Any]:
        """config.json: resolved, enough to run the same again."""
        return {
            **self.describe("width", COURSE),
            "profile": self.bench.plan.profile,
            "widths": {str(percent): dict(rows) for percent, rows in self.bench.plan.widths.items()},
            "untrained": self.untrained.to_json(),
            **self.own.to_json(),
        }


def set_up_width(
    model: TrainedModel,
    source: DataSource,
    config: WidthConfig,
    typed: Mapping[str, Any],
    *,
    asked: Asked | None = None,
    record: Mapping[str, Any] | None = None,
) -> WidthSetup:
    """Check everything, plan, measure without training. Raises UsageError; nothing is created.

    typed: training settings that were given; the others are those of the checkpoint, where it says them. record:
    config.json of the run that is resumed: rate and measurements are taken from there.
    """
    begun = time.monotonic()
    tuning = open_fine_tuning(model, source, config, typed, asked or Asked(record=record))
    split, own, device = tuning.split, tuning.own, tuning.accelerator.device
    plan = plan_width(tuning.network, tuning.example, config, tuning.train, len(split.train))
    check_affordable(plan, config)
    batches = Batches(split.train, tuning.train.batch_size, 0, own.augment(tuning.augment), device)
    scale = Scale(tuning.network, plan, split, batches, own.metric, device, config.confidence)
    plan, untrained = _choose(scale, config) if record is None else _recall(scale, record)
    lr, lr_note, range_test = choose_rate(tuning, config.lr_share, record)
    teacher = choose_teacher(
        copy.deepcopy(tuning.network).to(device), batches, config.distill, own, len(tuning.data.classes)
    )
    bench = replace(tuning.bench(plan, lr), teacher=teacher)
    check_trained(bench, untrained.whole, model.where)
    auto, automatic = auto_tolerance(len(split.valid), config.seeds, folds=False), config.tolerance is None
    config = fix_tolerance(config, auto, own.metric)
    return WidthSetup(
        model=model,
        data_source=source,
        data=tuning.data,
        bench=bench,
        config=config,
        tolerance_note=say_tolerance(config, auto, len(split.valid), 1, own.metric),
        tolerance_auto=automatic,
        forecast=forecast_width(bench, config.seeds),
        notes=tuning.notes,
        own=own,
        lr_note=lr_note,
        untrained=untrained,
        start=untrained.whole,
        range_test=range_test,
        split_of=tuning.split_of,
        setup_seconds=time.monotonic() - begun,
    )


def check_affordable(plan: WidthPlan, config: WidthConfig) -> None:
    """Raise ConfigError where no width meets the limits that are known before training."""
    rows = [{"ratio": c.opened / 100, "params": c.params, "macs": c.macs} for c in plan.candidates]
    check_reachable(rows, config.limits)


def _choose(scale: Scale, config: WidthConfig) -> tuple[WidthPlan, Untrained]:
    """The plan with the widths that are worth more, and what was measured to find out. Random states are left."""
    plan, inputs = scale.plan, calibration(scale.split, scale.device)
    with undisturbed(scale.device):
        network = copy.deepcopy(scale.network).to(scale.device)
        widths, uneven = plan.widths, dict[str, float]()
        scale = replace(scale, network=network)
        equal = scale.measure_all(widths)
        profile = "equal"
        if config.profile != "equal":
            others = uneven_widths(network, plan.units, widths, inputs, config.round_to)
            uneven = scale.measure_all(others)
            size = 1.0 if scale.metric.known_scale else abs(scale.measure({})["value"])
            asked = config.profile == "uneven" and len(others) > 1
            profile = "uneven" if asked else choose_profile(equal, uneven, size)
            widths = others if profile == "uneven" else widths
        plan = with_widths(plan, network, widths, profile, inputs[:2])
        return plan, measure_untrained(replace(scale, plan=plan), equal, uneven)


def _recall(scale: Scale, record: Mapping[str, Any]) -> tuple[WidthPlan, Untrained]:
    """The same of a run that is resumed."""
    widths = {int(percent): rows for percent, rows in record["widths"].items()}
    plan = with_widths(scale.plan, scale.network, widths, record["profile"], scale.split.train.x[:2])
    return plan, Untrained(**record["untrained"])


def forecast_width(bench: Bench[WidthPlan], seeds: int) -> Forecast:
    """Updates of all arms, and their cost in trainings of the network as it is, by multiply-accumulates."""
    plan = bench.plan
    work = prepared_macs(bench) / (plan.steps * plan.base.macs) + plan.length / plan.steps
    work += seeds * sum(price_width(bench, hold.opened) for hold in plan.schedule(0).holds)
    return Forecast(seeds * plan.schedule(0).steps + plan.length, work, None)


def price_width(bench: Bench[WidthPlan], percent: int) -> float:
    """What the fine-tuning of a narrower network costs, in trainings of the network as it is."""
    plan = bench.plan
    macs = next(candidate.macs for candidate in plan.candidates if candidate.opened == percent)
    return plan.length / plan.steps * (macs + taught_macs(bench)) / max(1, plan.base.macs)


def create_width(setup: WidthSetup, out: Path | None) -> RunFolder:
    """The run folder of a new probe."""
    return create_folder(setup, "width", setup.to_json(), out)


def reopen_width(folder: RunFolder) -> WidthSetup:
    """The setup of an interrupted run. Raises when the checkpoint, the model or the data are no longer the same."""
    record = folder.config
    model, source = reopen_model(folder, COURSE)
    setup = set_up_width(model, source, WidthConfig.from_json(record["width"]), record["train"], record=record)
    return as_recorded(setup, folder)
