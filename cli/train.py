"""depthprobe train: one training, as it is, grown, or deep from the start."""

from typing import Annotated, Any

import typer

from depthprobe.cli import options as o


def train(
    model: o.Model = None,
    dataset: o.Dataset = None,
    grow: Annotated[bool, typer.Option("--grow", help="Add copies that grow in during training")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Add the same copies, in from the start (conventional)")] = False,
    schedule: o.Schedule = None,
    model_args: o.ModelArgs = None,
    checkpoint: o.Checkpoint = None,
    data_dir: o.DataDir = None,
    limit_train: o.LimitTrain = None,
    image_size: o.ImageSize = None,
    out: o.Out = None,
    seed: o.Seed = None,
    split_seed: o.SplitSeed = None,
    steps: o.Steps = None,
    copies: o.Copies = None,
    sites: o.Sites = None,
    kernel: o.Kernel = None,
    init: o.Init = None,
    mode: o.Mode = None,
    granularity: o.Granularity = None,
    metric: o.Metric = None,
    optimizer: o.Optimizer = None,
    lr: o.LearningRate = None,
    lr_shape: o.LrShape = None,
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
    config: o.Config = None,
    resume: o.ResumeRun = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train once and save model.pt. With --grow the added layers grow in; with --deep they are there from the start."""
    from depthprobe.cli.running import continue_run, run_new

    if resume is not None:
        o.refuse_inputs_with_resume(model, dataset)
        continue_run(resume, "train", json=json, quiet=quiet)
        return
    training = o.given(
        seed=seed, split_seed=split_seed, copies=copies, sites=o.parse_names(sites), kernel=kernel, init=init,
        mode=mode, granularity=granularity, schedule=schedule, metric=metric, grow=grow or None, deep=deep or None,
    )  # fmt: skip
    settings = o.given(
        steps=steps, optimizer=optimizer, lr_shape=lr_shape, weight_decay=weight_decay, clip=clip,
        new_lr_scale=new_lr_scale,
        batch_size=batch_size, accumulate=accumulate, augment=augment, device=device, precision=precision,
        compile=compile or None, log=o.parse_names(log), threads=threads,
    )  # fmt: skip
    settings |= o.parse_rate(lr)
    from depthprobe.config import TrainConfig, TrainingConfig

    sections = {"train": o.known_keys(TrainConfig), "training": o.known_keys(TrainingConfig)}
    file = o.read_config(config, sections)
    training_config = TrainingConfig.from_json({**file["training"], **training})
    train_config = TrainConfig.from_json({**o.in_words(file["train"]), **settings})
    from depthprobe.cli.opening import open_inputs
    from depthprobe.probes.own import Asked
    from depthprobe.probes.train import create_training, set_up_training

    def set_up_train() -> Any:
        inputs = open_inputs(model, model_args, dataset, data_dir, limit_train, image_size, out, checkpoint)
        asked = Asked(typed=frozenset({**file["train"], **settings}))
        return set_up_training(*inputs, training_config, train_config, asked)

    run_new("train", set_up_train, lambda setup: create_training(setup, out), json=json, quiet=quiet)
