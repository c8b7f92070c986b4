"""depthprobe width: how narrow may each layer of a trained network be?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from depthprobe.cli import options as o

Checkpoint = Annotated[
    Path | None, typer.Argument(metavar="CHECKPOINT", help="model.pt of depthprobe, or a state dict with --model")
]
Units = Annotated[
    str | None, typer.Option("--units", metavar="A,B", help="Units that may become narrower (default: all that can)")
]
Ratios = Annotated[
    str | None, typer.Option("--ratios", metavar="0.75,0.5", help="Shares of the channels to measure (0.9 ... 0.1)")
]
RoundTo = Annotated[
    int | None, typer.Option("--round-to", metavar="N", help="Round widths up to a multiple, 8 for speed (1)")
]
LrShare = Annotated[
    float | None, typer.Option("--lr-share", metavar="S", help="Fine-tune at this share of the rate of training (0.3)")
]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="auto|equal|uneven", help="Shares alike in all units, or not (auto)")
]


def width(
    checkpoint: Checkpoint = None,
    model: o.ModelOption = None,
    dataset: o.Dataset = None,
    model_args: o.ModelArgs = None,
    data_dir: o.DataDir = None,
    limit_train: o.LimitTrain = None,
    image_size: o.ImageSize = None,
    out: o.Out = None,
    seeds: o.Seeds = None,
    seed: o.Seed = None,
    split_seed: o.SplitSeed = None,
    steps: o.Steps = None,
    tolerance: o.Tolerance = None,
    units: Units = None,
    ratios: Ratios = None,
    round_to: RoundTo = None,
    profile: Profile = None,
    metric: o.Metric = None,
    optimizer: o.Optimizer = None,
    lr: o.LearningRate = None,
    lr_share: LrShare = None,
    weight_decay: o.WeightDecay = None,
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
    """How narrow may each layer be? Cuts channels, fine-tunes, measures every width, keeps the network."""
    from depthprobe.cli.running import continue_run, run_new

    if resume is not None:
        o.refuse_inputs_with_resume(str(checkpoint) if checkpoint else model, dataset)
        continue_run(resume, "width", json=json, quiet=quiet)
        return
    probe = o.given(
        seeds=seeds, seed=seed, split_seed=split_seed, units=o.parse_names(units),
        ratios=o.parse_ratios(ratios), round_to=round_to, profile=profile, metric=metric, lr_share=lr_share,
        max_params=max_params, max_macs=max_macs, max_latency_ms=max_latency_ms, keep_accuracy=keep_accuracy,
        verify=verify or None, **o.parse_tolerance(tolerance),
    )  # fmt: skip
    train = o.given(
        steps=steps, optimizer=optimizer, weight_decay=weight_decay, clip=clip, batch_size=batch_size,
        accumulate=accumulate, augment=augment, device=device, precision=precision,
        compile=compile or None, log=o.parse_names(log), threads=threads, workers=workers,
    )  # fmt: skip
    train |= o.parse_rate(lr)
    from depthprobe.config import TrainConfig, WidthConfig

    file = o.read_config(config, {"train": o.known_keys(TrainConfig), "width": o.known_keys(WidthConfig)})
    probe, train = {**o.in_words(file["width"]), **probe}, {**o.in_words(file["train"]), **train}
    settings = WidthConfig.from_json(probe)

    from depthprobe.cli.opening import open_network
    from depthprobe.probes.own import Asked
    from depthprobe.probes.width import create_width, set_up_width

    def set_up() -> Any:
        trained, found = open_network(checkpoint, model, model_args, dataset, data_dir, limit_train, image_size, out)
        return set_up_width(trained, found, settings, train, asked=Asked(typed=frozenset(train)))

    run_new("width", set_up, lambda setup: create_width(setup, out), json=json, quiet=quiet)
