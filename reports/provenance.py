"""Where the numbers come from: enough to repeat the run, and to know what it cost."""

import json
import shlex
from typing import Any

from depthprobe.counting import number_of
from depthprobe.reports.numbers import count, duration, listed
from depthprobe.reports.reading import Run
from depthprobe.reports.view import Fact


def view_facts(run: Run) -> tuple[Fact, ...]:
    """Command, model, data, seeds, cost, machine and versions, in this order."""
    return (
        Fact(label="Command", value=shlex.join(map(str, run.environment["command_line"])), code=True),
        *_model(run.config["model"]),
        *_data(run),
        Fact(label="Seeds", value=_seeds(run.recommendation)),
        Fact(label="Tolerance", value=_tolerance(run.config["tolerance_note"])),
        Fact(label="Training", value=_training(run.config["train"], run.config.get("own") or {})),
        *_own(run.config),
        Fact(label="Cost", value=_cost(run.recommendation["cost"])),
        Fact(label="Machine", value=_machine(run.environment)),
        Fact(label="Versions", value=_versions(run.environment)),
    )


def view_training_facts(run: Run) -> tuple[Fact, ...]:
    """Of a single training: command, model, data, settings, machine and versions, in this order."""
    data = run.config["data"]
    return (
        Fact(label="Command", value=shlex.join(map(str, run.environment["command_line"])), code=True),
        *_model(run.config["model"]),
        Fact(label="Data set", value=str(data["spec"])),
        Fact(label="Data fingerprint", value=str(data["fingerprint"]), code=True),
        Fact(label="Seed", value=listed(run.seeds)),
        Fact(label="Training", value=_training(run.config["train"], run.config.get("own") or {})),
        *_own(run.config),
        Fact(label="Machine", value=_machine(run.environment)),
        Fact(label="Versions", value=_versions(run.environment)),
    )


DRAWN = ("units", "lr_range_test", "ranking")


def view_study_facts(run: Run) -> tuple[Fact, ...]:
    """Of a study: command, model, data, search, cost, machine and versions, in this order."""
    tune, trials = run.config["tune"], run.recommendation["trials"]
    search = f"{tune['sampler']}, {trials['total']} trials of {count(run.config['budget_updates'])} updates, "
    search += f"objective {tune['objective']}, pruner {tune['pruner']}"
    space = "; ".join(f"{name}: {json.dumps(domain)}" for name, domain in run.config["space"].items())
    data = run.config["data"]
    return (
        Fact(label="Command", value=shlex.join(map(str, run.environment["command_line"])), code=True),
        *_model(run.config["model"]),
        Fact(label="Data set", value=str(data["spec"])),
        Fact(label="Data fingerprint", value=str(data["fingerprint"]), code=True),
        Fact(label="Search", value=search),
        Fact(label="Space", value=space, code=True),
        Fact(label="Study", value=f"{run.config['study']} in {run.config['storage']}", code=True),
        Fact(label="Fresh seeds", value=listed(run.recommendation["seeds"])),
        Fact(label="Training", value=_training(run.config["train"], run.config.get("own") or {})),
        *_own(run.config),
        Fact(label="Cost", value=_cost(run.recommendation["cost"])),
        Fact(label="Machine", value=_machine(run.environment)),
        Fact(label="Versions", value=_versions(run.environment)),
    )


def config_text(run: Run) -> str:
    """config.json, indented, without the parts that the page shows as figures and tables."""
    shown = {key: value for key, value in run.config.items() if key not in DRAWN}
    return json.dumps(shown, indent=2, ensure_ascii=False)


def numbers_of(run: Run) -> dict[str, Any]:
    """What a reader may take along: the answer, settings, versions and every measurement, without its scores."""
    measured = [
        {key: value for key, value in record.items() if key not in ("scores", "scores32")}
        for record in run.of("measurement")
    ]
    answer = run.recommendation
    return {"recommendation": answer, "config": run.config, "environment": run.environment, "measurements": measured}


def _model(model: dict[str, Any]) -> list[Fact]:
    spec = str(model.get("class", model["spec"]))
    arguments = " ".join(f"{name}={value}" for name, value in (model.get("args") or {}).items())
    facts = [Fact(label="Model", value=f"{spec} {arguments}".strip(), code=True)]
    digest = model.get("sha256") or model.get("structure")
    if digest:
        facts.append(Fact(label="SHA-256 of the file" if "sha256" in model else "Structure", value=digest, code=True))
    return facts


def _data(run: Run) -> list[Fact]:
    data = run.config["data"]
    limits = [f"{name.replace('_', ' ')} {data[name]}" for name in ("limit_train", "image_size") if data.get(name)]
    measured = run.of("measurement")
    examples = sorted({int(record["examples"]) for record in measured})
    folds = len({record["valid_id"] for record in measured})
    which = "the same for every seed" if folds == 1 else f"{folds} different sets, one per seed"
    split = f"split seed {_split_seed(run)}; {listed([count(n) for n in examples])} examples, {which}"
    return [
        Fact(label="Data set", value=", ".join([str(data["spec"]), *limits])),
        Fact(label="Validation", value=split),
        Fact(label="Data fingerprint", value=str(data["fingerprint"]), code=True),
    ]


def _split_seed(run: Run) -> int:
    """Of the split: the run's own, or that of the checkpoint it began with."""
    split = run.config.get("split") or {"seed": run.settings["split_seed"]}
    return int(split["seed"])


def _seeds(answer: dict[str, Any]) -> str:
    failed = answer["failed_seeds"]
    return f"{listed(answer['seeds'])}; failed: {listed(failed) if failed else 'none'}"


def _tolerance(note: str) -> str:
    return note.removeprefix("tolerance ")


def _training(train: dict[str, Any], own: dict[str, str]) -> str:
    optimizer = "your optimizer" if "optimizer" in own else f"{train['optimizer']}, learning rate {train['lr']:g}"
    augment = "your own" if "augment" in own else "on" if train["augment"] else "off"
    return (
        f"{optimizer}, batches of {train['batch_size']:,}, "
        f"precision {'full' if train['precision'] == 'no' else train['precision']}, "
        f"augmentation {augment}; "
        f"one conventional training is {count(train['steps'])} updates"
    )


def _own(config: dict[str, Any]) -> list[Fact]:
    """The user's own functions, and a metric from a file."""
    metric, facts = config.get("metric") or {}, []
    if own := config.get("own"):
        said = [f"{name} ({str(origin).rpartition('/')[2]})" for name, origin in own.items()]
        facts.append(Fact(label="Your own", value=listed(said)))
    if metric.get("sha256"):
        facts.append(Fact(label="Metric", value=str(metric["spec"]), code=True))
    return facts


def _cost(cost: dict[str, Any]) -> str:
    return (
        f"{cost['trainings']:.3g} conventional trainings of the deepest candidate: {count(cost['steps'])} updates, "
        f"{count(cost['sample_passes'])} sample passes, {duration(cost['wall_seconds'])}"
    )


def device_text(environment: dict[str, Any]) -> str:
    """What it was trained on: the GPU's name, or "cpu, 4 threads"."""
    device, threads = str(environment["device"]), environment["threads"]
    if device.startswith("cuda"):
        return str(environment["gpu"] or device)
    return f"{device}, {number_of(threads, 'thread')}"


def _machine(environment: dict[str, Any]) -> str:
    cores = environment["cores"]
    parts = [environment["platform"], environment["processor"], number_of(cores, "core") if cores else None]
    return ", ".join(str(part) for part in parts if part) + f"; trained on {device_text(environment)}"


def _versions(environment: dict[str, Any]) -> str:
    packages = [f"{name} {version}" for name, version in environment["packages"].items() if version]
    return ", ".join([f"python {environment['python']}", *packages])
