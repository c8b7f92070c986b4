"""depthprobe grow: would more depth pay, and where does it stop paying?"""

from typing import Any

from depthprobe.cli import options as o


def grow(
    model: o.Model = None,
    dataset: o.Dataset = None,
    model_args: o.ModelArgs = None,
    checkpoint: o.Checkpoint = None,
    data_dir: o.DataDir = None,
    limit_train: o.LimitTrain = None,
    image_size: o.ImageSize = None,
    out: o.Out = None,
    seeds: o.Seeds = None,
    seed: o.Seed = None,
    split_seed: o.SplitSeed = None,
    steps: o.Steps = None,
    tolerance: o.Tolerance = None,
    copies: o.Copies = None,
    sites: o.Sites = None,
    candidates: o.Candidates = None,
    max_depth: o.MaxDepth = None,
    by: o.By = None,
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
    accumulate: o.Accumulate = None,
    augment: o.Augment = None,
    device: o.Device = None,
    precision: o.Precision = None,
    compile: o.Compile = False,
    log: o.Log = None,
    threads: o.Threads = None,
    workers: o.ArmWorkers = None,
    sensitivity: o.Sensitivity = False,
    time_budget: o.TimeBudget = None,
    max_params: o.MaxParams = None,
    max_macs: o.MaxMacs = None,
    max_latency_ms: o.MaxLatency = None,
    keep_accuracy: o.KeepAccuracy = None,
    verify: o.Verify = False,
    config: o.Config = None,
    resume: o.ResumeRun = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Would more depth pay? Grows copies of the model's layers, measures every depth, answers in one sentence."""
    from depthprobe.cli.running import continue_run, run_new

    if resume is not None:
        o.refuse_inputs_with_resume(model, dataset)
        continue_run(resume, "grow", json=json, quiet=quiet)
        return
    probe = o.given(
        seeds=seeds, seed=seed, split_seed=split_seed, copies=copies, sites=o.parse_names(sites),
        candidates=o.parse_counts(candidates), max_depth=max_depth, by=by, kernel=kernel, init=init,
        schedule=schedule, mode=mode, granularity=granularity, metric=metric, sensitivity=sensitivity or None,
        max_params=max_params, max_macs=max_macs, max_latency_ms=max_latency_ms, keep_accuracy=keep_accuracy,
        verify=verify or None, **o.parse_tolerance(tolerance), **o.parse_budget(time_budget),
    )  # fmt: skip
    train = o.given(
        steps=steps, optimizer=optimizer, weight_decay=weight_decay, new_lr_scale=new_lr_scale, clip=clip,
        batch_size=batch_size, accumulate=accumulate, augment=augment, device=device, precision=precision,
        compile=compile or None, log=o.parse_names(log), threads=threads, workers=workers,
    )  # fmt: skip
    train |= o.parse_rate(lr)
    from depthprobe.config import GrowConfig, TrainConfig

    file = o.read_config(config, {"train": o.known_keys(TrainConfig), "grow": o.known_keys(GrowConfig)})
    probe, train = {**o.in_words(file["grow"]), **probe}, {**o.in_words(file["train"]), **train}
    grow_config, train_config = GrowConfig.from_json(probe), TrainConfig.from_json(train)

    from depthprobe.cli.opening import open_inputs
    from depthprobe.probes.grow import create_run, set_up
    from depthprobe.probes.own import Asked

    def set_up_grow() -> Any:
        inputs = open_inputs(model, model_args, dataset, data_dir, limit_train, image_size, out, checkpoint)
        asked = Asked(typed=frozenset(train))
        return set_up(*inputs, grow_config, train_config, fixed=frozenset(probe), asked=asked)

    run_new("grow", set_up_grow, lambda setup: create_run(setup, out), json=json, quiet=quiet)
