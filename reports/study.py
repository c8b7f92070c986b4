"""A run of tune as frozen values: the answer, what was confirmed, what mattered, Optuna's plots."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from depthprobe.reports.provenance import config_text, view_study_facts
from depthprobe.reports.reading import Run, damaged
from depthprobe.reports.summary import short_model
from depthprobe.reports.view import Fact, Tile

MEANINGS = {
    "tuned": "This schedule was trained again on seeds that the search had not seen, beside the default, and is better "
    "there, or as good and cheaper; the search's own figure for it flatters it.",
    "keep": "The best schedules of the search were trained again on seeds that the search had not seen. None is better "
    "than the default there by more than chance explains: the winner of a search is always flattered by it.",
}
CAPTIONS = {
    "history": "Every trial, and the best so far; trial 0 is the default.",
    "importance": "Share of each choice in what the metric varies by among the completed trials.",
    "slices": "Every trial by the value of one setting; darker ones came later.",
    "parallel": "Every line is a trial; the settings that lead to a high metric.",
    "pareto": "Metric and cost of every trial; red ones are beaten by none in both.",
    "intermediate": "What trials measured on the way: at holds (Hyperband) or on each seed (Wilcoxon).",
}


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A schedule on fresh seeds. mean, each: of the metric, over the seeds and on every one of them, or the word for
    what happened: "diverged", or "lost" with the worker that ran it. gain: over the default, (value, low, high);
    changes: its settings in words.
    """

    name: str
    mean: str
    each: tuple[str, ...]
    gain: tuple[float, float, float] | None
    searched: float | None
    cost: float
    changes: str
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One of Optuna's plots: plotly's JSON as a plain document."""

    name: str
    caption: str
    document: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """The page of one study. importance: (setting, share), the largest first."""

    name: str
    model: str
    data: str
    verdict: str
    sentence: str
    meaning: str
    metric: str
    use: str
    tiles: tuple[Tile, ...]
    confirmed: tuple[Confirmed, ...]
    importance: tuple[tuple[str, float], ...]
    evaluator: str
    plots: tuple[Plot, ...]
    notes: tuple[str, ...]
    facts: tuple[Fact, ...]
    best_file: str
    config: str


def view_study(run: Run) -> StudyView:
    """The view of a finished study. Raises RunFolderError when its files do not hold what they should."""
    try:
        return _view(run)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError) as error:
        raise damaged(run.path, "recommendation.json or another file", repr(error)) from error


def _view(run: Run) -> StudyView:
    answer = run.recommendation
    plots = json.loads((run.path / "plots.json").read_text(encoding="utf-8"))
    return StudyView(
        name=run.path.absolute().name,
        model=short_model(run.config["model"]),
        data=PurePath(str(run.config["data"]["spec"])).name,
        verdict=str(answer["verdict"]),
        sentence=str(answer["sentence"]),
        meaning=MEANINGS[answer["verdict"]],
        metric=str(answer["metric"]),
        use=_use(run.config, run.path / answer["config_file"]),
        tiles=_tiles(answer),
        confirmed=tuple(_confirmed(row, answer["best"]["trial"], answer["seeds"]) for row in answer["confirmed"]),
        importance=tuple((str(name), float(share)) for name, share in answer["importance"]["values"].items()),
        evaluator=str(answer["importance"]["evaluator"]),
        plots=tuple(
            Plot(name=name, caption=CAPTIONS[name], document=plots[name]) for name in CAPTIONS if name in plots
        ),
        notes=tuple(map(str, answer["notes"])),
        facts=view_study_facts(run),
        best_file=(run.path / answer["config_file"]).read_text(encoding="utf-8"),
        config=config_text(run),
    )


def _use(config: Mapping[str, Any], file: Path) -> str:
    """The command that takes the schedule: the model and the data of the study, the settings of `file`."""
    model, data = config["model"], config["data"]
    options = [("--model-args", f"{name}={value}") for name, value in (model.get("args") or {}).items()]
    options += [("--dataset", data["spec"]), ("--data-dir", data.get("data_dir"))]
    options += [("--limit-train", data.get("limit_train")), ("--image-size", data.get("image_size"))]
    words = [str(word) for pair in [*options, ("--config", file)] if pair[1] is not None for word in pair]
    return shlex.join(["depthprobe", "grow", str(model["spec"]), *words])


def _tiles(answer: Mapping[str, Any]) -> tuple[Tile, ...]:
    trials, best, default = answer["trials"], answer["best"], answer["default"]
    ends = ", ".join(f"{trials[name]} {name}" for name in ("complete", "pruned", "failed", "retried") if trials[name])
    flattered = "" if best["searched"] is None else f"{best['searched']:.4f} in the search"
    return (
        Tile(label="Default", value=_mean(default), detail="on fresh seeds"),
        Tile(label="Chosen schedule", value=_mean(best), detail=flattered),
        Tile(label="Trials", value=str(trials["total"]), detail=ends),
        Tile(label="Cost", value=f"{answer['cost']['trainings']:.3g}", detail="trainings of the deepest network"),
    )


def _mean(row: Mapping[str, Any]) -> str:
    """Over the seeds that have a value; without any, what became of them: a lost training is no divergence."""
    nothing = "diverged" if row["values"] else "lost"
    return nothing if row["value"] is None else f"{row['value']:.4f}"


def _each(row: Mapping[str, Any], seeds: Sequence[int]) -> tuple[str, ...]:
    """What came of every seed, in their order."""
    ended = iter(["diverged" if value is None else f"{value:.3f}" for value in row["values"]])
    return tuple("lost" if seed in row.get("lost", ()) else next(ended, "lost") for seed in seeds)


def _confirmed(row: Mapping[str, Any], chosen: int, seeds: Sequence[int]) -> Confirmed:
    gain, settings = row["gain"], row["settings"]
    changed = {**settings["grow"], **settings["train"]}
    return Confirmed(
        name="default" if row["trial"] == 0 else f"trial {row['trial']}",
        mean=_mean(row),
        each=_each(row, seeds),
        gain=None if gain is None else (float(gain["value"]), float(gain["low"]), float(gain["high"])),
        searched=row["searched"],
        cost=float(row["cost"]),
        changes=", ".join(f"{name} {_short(value)}" for name, value in changed.items()) or "as it is",
        chosen=row["trial"] == chosen,
    )


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
