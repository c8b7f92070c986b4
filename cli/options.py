"""Options shared by the verbs, and how they join with a config file."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from depthprobe.config import GrowthConfig, ShrinkConfig, TrainConfig, TrainingConfig, WidthConfig, unknown_key
from depthprobe.errors import ConfigError


def _option(*names: str, text: str, metavar: str | None = None) -> Any:
    """One option without typer's own default: ours stands in the text, None means "as the config file says"."""
    return typer.Option(*names, metavar=metavar, help=text, show_default=False)


DATASETS = "digits, mnist, fashion-mnist, cifar10, cifar100, an image folder, a .npz or file.py:name"

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="file.py, file.py:name, pkg.mod:attr, torchvision:NAME, timm:NAME or hf:CLASS",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None, _option("--model", "-m", metavar="MODEL", text="The model of a plain state dict: file.py, file.py:name")
]
Dataset = Annotated[str | None, _option("--dataset", "-d", metavar="DATASET", text=DATASETS)]
ModelArgs = Annotated[
    list[str] | None,
    _option("--model-args", metavar="K=V", text="Argument of the model's class or factory (repeatable)"),
]
DataDir = Annotated[Path | None, _option("--data-dir", text="Local copies of the data; never the network")]
LimitTrain = Annotated[int | None, _option("--limit-train", metavar="N", text="At most N training examples")]
ImageSize = Annotated[int | None, _option("--image-size", metavar="PX", text="Scale images to PX x PX")]
Out = Annotated[Path | None, _option("--out", "-o", text="The run folder; must not exist (default: runs/VERB-TIME-ID)")]
Seeds = Annotated[int | None, _option("--seeds", metavar="N", text="How many seeds (default: 3)")]
Seed = Annotated[int | None, _option("--seed", metavar="N", text="The first seed (default: 0)")]
SplitSeed = Annotated[int | None, _option("--split-seed", metavar="N", text="Seed of the data split (default: 0)")]
Device = Annotated[str | None, _option("--device", text="auto, cpu, cuda or mps (default: auto)")]
Precision = Annotated[str | None, _option("--precision", text="no, bf16, or fp16 on a GPU (default: no)")]
Threads = Annotated[int | None, _option("--threads", metavar="N", text="CPU threads of torch (default: torch's own)")]
Steps = Annotated[
    int | None,
    _option("--steps", metavar="N", text="Updates of one conventional training (default: 10 epochs, at least 1500)"),
]
BatchSize = Annotated[int | None, _option("--batch-size", metavar="N", text="Examples per update (default: 64)")]
Accumulate = Annotated[
    int | None,
    _option("--accumulate", metavar="N", text="Compute each batch in N parts, one after another (default: 1)"),
]
Log = Annotated[
    str | None, _option("--log", metavar="A,B", text="Trackers beside records.jsonl: tensorboard, wandb, mlflow, ...")
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the units of the network (torch.compile)")]
ArmWorkers = Annotated[
    int | None,
    _option("--workers", metavar="N", text="Train seeds and arms side by side in N local processes (default: 1)"),
]
Tolerance = Annotated[
    str | None, _option("--tolerance", text="Smallest difference of the metric that matters, or auto (default: auto)")
]
Metric = Annotated[
    str | None,
    _option(
        "--metric",
        text="accuracy, top5, r2, neg_mse, neg_mae, neg_loss or file.py:name (default: accuracy; r2 for float targets)",
    ),
]
Optimizer = Annotated[str | None, _option("--optimizer", text="sgd, adam or adamw (default: sgd)")]
LearningRate = Annotated[
    str | None, _option("--lr", metavar="RATE", text="Learning rate, or auto: a range test chooses it (default: auto)")
]
By = Annotated[
    str | None, _option("--by", metavar="stage|site", text="Also measure the copies of each stage, or site, alone")
]
Sensitivity = Annotated[bool, typer.Option("--sensitivity", help="Answer again at a third and three times the rate")]
TimeBudget = Annotated[
    str | None, _option("--time-budget", metavar="10m", text="Fit seeds, depths and steps into 90s, 10m, 1h30m")
]
MaxParams = Annotated[int | None, _option("--max-params", metavar="N", text="Most parameters of the advised network")]
MaxMacs = Annotated[int | None, _option("--max-macs", metavar="N", text="Most multiply-accumulates of one example")]
MaxLatency = Annotated[
    float | None, _option("--max-latency-ms", metavar="MS", text="Longest time of one batch, measured on this machine")
]
KeepAccuracy = Annotated[
    float | None, _option("--keep-accuracy", metavar="A", text="Least value of the metric: the smallest that keeps it")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Also train the advised and the present network from scratch, and compare")
]
LrShape = Annotated[str | None, _option("--lr-shape", text="constant, cosine or step (default: cosine)")]
WeightDecay = Annotated[float | None, _option("--weight-decay", text="L2 penalty (default: 0.0005)")]
Checkpoint = Annotated[
    Path | None, _option("--checkpoint", metavar="FILE", text="Weights to start from: .safetensors, or a state dict")
]
NewLrScale = Annotated[
    float | None, _option("--new-lr-scale", metavar="X", text="Factor on the rate of added layers (default: 1)")
]
Clip = Annotated[float | None, _option("--clip", text="Largest norm of the gradient (default: none)")]
Augment = Annotated[
    bool | None, _option("--augment/--no-augment", text="Flip and crop images (default: colour images only)")
]
Copies = Annotated[
    int | None, _option("--copies", metavar="N", text="Copies after each site (default: as many layers as there are)")
]
Sites = Annotated[str | None, _option("--sites", metavar="A,B", text="Units to copy (default: all growable)")]
Candidates = Annotated[
    str | None,
    _option("--candidates", metavar="1,2,4", text="Numbers of added layers to measure (default: at most 8)"),
]
Removals = Annotated[
    str | None,
    _option("--candidates", metavar="1,2,4", text="Numbers of removed units to measure (default: at most 8)"),
]
MaxDepth = Annotated[int | None, _option("--max-depth", metavar="N", text="Most weight layers, head included")]
Kernel = Annotated[
    int | None, _option("--kernel", metavar="K", text="Kernel of added conv layers (default: the original's)")
]
Init = Annotated[str | None, _option("--init", text="auto, default, copy, identity, xavier, he or gaussian:STD")]
Schedule = Annotated[str | None, _option("--schedule", text="staggered or together (default: staggered)")]
Mode = Annotated[str | None, _option("--mode", text="prefix, bernoulli or blend (default: prefix)")]
Granularity = Annotated[
    str | None, _option("--granularity", text="sample or channel, while training (default: sample)")
]
Config = Annotated[Path | None, _option("--config", text="TOML or JSON file of settings; options win over it")]
ResumeRun = Annotated[Path | None, _option("--resume", metavar="RUN", text="Go on with an interrupted run folder")]
Trials = Annotated[int | None, _option("--trials", metavar="N", text="Trials of the search (default: 30)")]
Objective = Annotated[
    str | None, _option("--objective", text="accuracy, at a fixed budget, or accuracy,cost (default: accuracy)")
]
Sampler = Annotated[str | None, _option("--sampler", text="tpe, random or gp (default: tpe)")]
Pruner = Annotated[
    str | None, _option("--pruner", text="none, hyperband (over holds) or wilcoxon (over seeds) (default: none)")
]
TrialSeeds = Annotated[
    int | None, _option("--trial-seeds", metavar="N", text="Trainings of one trial (default: 1; 4 with wilcoxon)")
]
ConfirmSeeds = Annotated[
    int | None,
    _option("--confirm-seeds", metavar="N", text="Fresh seeds for the best trials and the default (default: 5)"),
]
SpaceFile = Annotated[
    Path | None, _option("--space", metavar="FILE", text="TOML file that narrows or widens what is searched")
]
Storage = Annotated[
    str | None,
    _option("--storage", metavar="URL", text="SQLAlchemy URL of the study (default: in the run folder)"),
]
Study = Annotated[str | None, _option("--study", metavar="NAME", text="Name of the study (default: the folder's)")]
LocalWorkers = Annotated[int | None, _option("--workers", metavar="N", text="Local processes (default: 1)")]
Heartbeat = Annotated[
    int | None, _option("--heartbeat", metavar="S", text="Seconds between two signs of life of a trial (default: 10)")
]
StudyPlace = Annotated[
    str | None, _option("--storage", metavar="URL", text="SQLAlchemy URL, as tune had it; not with a run folder")
]
ModelHere = Annotated[
    str | None, _option("--model", "-m", metavar="MODEL", text="Where the model lies here, if not where tune had it")
]
WorkerOut = Annotated[
    Path | None, _option("--out", "-o", text="Folder of checkpoints (default: the run folder, if it is here)")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr")]


def read_config(path: Path | None, sections: dict[str, set[str]]) -> dict[str, dict[str, Any]]:
    """Settings of a TOML or JSON file, sorted into `sections` (name -> known keys); flat or in tables of those names.

    Raises ConfigError for a missing or damaged file and for a key that no section knows.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in sections}
    for key, value in (_parse(path) if path else {}).items():
        if key in sections and isinstance(value, dict):
            for inner, setting in value.items():
                if inner not in sections[key]:
                    raise unknown_key(inner, sections[key])
                found[key][inner] = setting
            continue
        homes = [name for name, known in sections.items() if key in known]
        if not homes:
            raise unknown_key(key, set().union(*sections.values()))
        found[homes[0]][key] = value
    return found


def _parse(path: Path) -> dict[str, Any]:
    import json
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError("the config file cannot be read", where=str(path), found=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "the config file is damaged",
            where=str(path),
            expected="TOML, or JSON in a .json file",
            found=str(error),
        ) from error
    if not isinstance(document, dict):
        raise ConfigError("the config file holds no settings", where=str(path), found=type(document).__name__)
    return document


def given(**options: Any) -> dict[str, Any]:
    """The options that were typed."""
    return {name: value for name, value in options.items() if value is not None}


def parse_tolerance(text: str | None) -> dict[str, Any]:
    """--tolerance: a fraction, or "auto"."""
    if text is None or text == "auto":
        return {}
    try:
        return {"tolerance": float(text)}
    except ValueError:
        raise ConfigError(
            "tolerance is not a number", where="--tolerance", expected="a fraction such as 0.005, or auto", found=text
        ) from None


def parse_rate(text: str | None) -> dict[str, Any]:
    """--lr: a number, or "auto", which wins over a config file."""
    if text is None:
        return {}
    if text == "auto":
        return {"lr": None}
    try:
        return {"lr": float(text)}
    except ValueError:
        raise ConfigError(
            "the learning rate is not a number", where="--lr", expected="a number such as 0.02, or auto", found=text
        ) from None


def parse_budget(text: str | None) -> dict[str, Any]:
    """--time-budget: 90s, 10m, 1h30m, or seconds."""
    return {} if text is None else {"time_budget": parse_duration(text)}


def parse_duration(text: str) -> float:
    """Seconds of 90s, 10m, 1h30m, 1.5h or a plain number of seconds."""
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", text) if text else None
    try:
        if found is None:
            return float(text)
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
    except ValueError:
        raise ConfigError(
            "the time budget is not a time", where="--time-budget", expected="90s, 10m, 1h30m or seconds", found=text
        ) from None
    return 3600 * hours + 60 * minutes + seconds


def in_words(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a config file, where lr may be "auto" and time_budget "10m"."""
    parsers = {"lr": parse_rate, "time_budget": parse_budget}
    texts = {key: value for key, value in settings.items() if key in parsers and isinstance(value, str)}
    return {**settings, **{name: v for key, text in texts.items() for name, v in parsers[key](text).items()}}


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """--sites A,B."""
    names = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    if text is not None and not names:
        raise ConfigError(
            "no unit is named", where="--sites, --units", expected="names of units: A,B", found=repr(text)
        )
    return names or None


def parse_counts(text: str | None) -> tuple[int, ...] | None:
    """--candidates 1,2,4."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            "candidates are not numbers", where="--candidates", expected="numbers of added layers: 1,2,4", found=text
        ) from None


def parse_ratios(text: str | None) -> tuple[float, ...] | None:
    """--ratios 0.75,0.5."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            "ratios are not numbers", where="--ratios", expected="shares of the channels: 0.75,0.5", found=text
        ) from None


def refuse_inputs_with_resume(model: str | None, dataset: str | None) -> None:
    """A resumed run has its own model, data and settings."""
    if model is not None or dataset is not None:
        raise ConfigError(
            "--resume goes on with the run's own model and data",
            expected="no MODEL and no --dataset beside it",
            found=str(model or dataset),
            hint="depthprobe resume RUN",
        )


def need_checkpoint(checkpoint: Path | None) -> Path:
    """The checkpoint, that of a run folder too, or what to type."""
    if checkpoint is None:
        raise ConfigError(
            "no checkpoint was named", where="CHECKPOINT", expected="model.pt, or a state dict with --model"
        )
    return checkpoint / "model.pt" if (checkpoint / "model.pt").is_file() else checkpoint


def need_model(model: str | None) -> str:
    """The model, or what to type."""
    if model is None:
        raise ConfigError("no model was named", where="MODEL", expected="file.py, file.py:name or pkg.mod:attr")
    return model


def need_dataset(dataset: str | None) -> str:
    """The data set, or what to type."""
    if dataset is None:
        raise ConfigError(
            "no data set was named",
            where="--dataset",
            expected=DATASETS,
            hint="--dataset digits",
        )
    return dataset


def known_keys(
    kind: type[TrainConfig] | type[GrowthConfig] | type[TrainingConfig] | type[ShrinkConfig] | type[WidthConfig],
) -> set[str]:
    """Names of a config's settings."""
    import dataclasses

    return {field.name for field in dataclasses.fields(kind)}
