"""depthprobe tune: Optuna tunes the schedule of a grow run."""

from pathlib import Path
from typing import Any

from depthprobe.cli import options as o


def tune(
    model: o.Model = None,
    dataset: o.Dataset = None,
    trials: o.Trials = None,
    objective: o.Objective = None,
    sampler: o.Sampler = None,
    pruner: o.Pruner = None,
    trial_seeds: o.TrialSeeds = None,
    confirm_seeds: o.ConfirmSeeds = None,
    space: o.SpaceFile = None,
    workers: o.LocalWorkers = None,
    storage: o.Storage = None,
    study: o.Study = None,
    heartbeat: o.Heartbeat = None,
    model_args: o.ModelArgs = None,
    checkpoint: o.Checkpoint = None,
    data_dir: o.DataDir = None,
    limit_train: o.LimitTrain = None,
    image_size: o.ImageSize = None,
    out: o.Out = None,
    seed: o.Seed = None,
    split_seed: o.SplitSeed = None,
    steps: o.Steps = None,
    tolerance: o.Tolerance = None,
    copies: o.Copies = None,
    sites: o.Sites = None,
    candidates: o.Candidates = None,
    max_depth: o.MaxDepth = None,
    kernel: o.Kernel = None,
    init: o.Init = None,
    schedule: o.Schedule = None,
    mode: o.Mode = None,
    granularity: o.Granularity = None,
    metric: o.Metric = None,
    optimizer: o.Optimizer = None,
    lr: o.LearningRate = None,
    weight_decay: o.WeightDecay = None,
    new_lr_scale: o.NewLrScale = None,
    clip: o.Clip = None,
    batch_size: o.BatchSize = None,
    augment: o.Augment = None,
    device: o.Device = None,
    precision: o.Precision = None,
    threads: o.Threads = None,
    config: o.Config = None,
    resume: o.ResumeRun = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Which schedule is best? An Optuna study over grow trainings; the settings given here are the default, trial 0."""
    from depthprobe.cli.running import continue_run

    if resume is not None:
        o.refuse_inputs_with_resume(model, dataset)
        continue_run(resume, "tune", json=json, quiet=quiet)
        return
    asked = o.given(
        trials=trials, objective=objective, sampler=sampler, pruner=pruner, trial_seeds=trial_seeds,
        confirm_seeds=confirm_seeds, workers=workers, heartbeat=heartbeat,
    )  # fmt: skip
    probe = o.given(
        seed=seed, split_seed=split_seed, copies=copies, sites=o.parse_names(sites),
        candidates=o.parse_counts(candidates), max_depth=max_depth, kernel=kernel, init=init, schedule=schedule,
        mode=mode, granularity=granularity, metric=metric, **o.parse_tolerance(tolerance),
    )  # fmt: skip
    train = o.given(
        steps=steps, optimizer=optimizer, weight_decay=weight_decay, new_lr_scale=new_lr_scale, clip=clip,
        batch_size=batch_size, augment=augment, device=device, precision=precision, threads=threads,
    )  # fmt: skip
    train |= o.parse_rate(lr)
    configs = _configs(config, {"tune": asked, "grow": probe, "train": train})
    from depthprobe.cli.opening import open_inputs
    from depthprobe.cli.tuned import begin_tune

    if out is None:
        out = Path("runs") / (study or _name())
    opened, source = open_inputs(model, model_args, dataset, data_dir, limit_train, image_size, out, checkpoint)
    begin_tune(opened, source, configs, space, storage, study or out.name, out, json=json, quiet=quiet)


def _configs(file: Path | None, typed: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings of the file and of the options, which win, by section."""
    from depthprobe.config import GrowConfig, TrainConfig
    from depthprobe.tuning.config import TuneConfig

    kinds = {"train": TrainConfig, "grow": GrowConfig, "tune": TuneConfig}
    found = o.read_config(file, {name: o.known_keys(kind) for name, kind in kinds.items()})
    return {name: {**o.in_words(found[name]), **typed[name]} for name in kinds}


def _name() -> str:
    import datetime
    import secrets

    return f"tune-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
