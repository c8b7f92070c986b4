"""A single training (`depthprobe train`): no advice, but what it reached, how it went and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from depthprobe.counting import number_of
from depthprobe.reports.course import view_course
from depthprobe.reports.holding import RateTest, view_rate_test
from depthprobe.reports.measured import Course
from depthprobe.reports.numbers import capital, count, duration, fraction, short
from depthprobe.reports.provenance import config_text, numbers_of, view_training_facts
from depthprobe.reports.reading import Run
from depthprobe.reports.view import Answer, Fact, Step, Tile

NEXT = (
    Step(text="Would more depth pay?", code="depthprobe grow MODEL --dataset ..."),
    Step(
        text="What can go? In the run folder; with width instead: how narrow may it be?",
        code="depthprobe shrink model.pt",
    ),
)


@dataclass(frozen=True, kw_only=True)
class TrainingView:
    """What its page shows: the parts of a RunView that a training has."""

    name: str
    command: str
    model: str
    data: str
    answer: Answer
    course: Course
    rate_test: RateTest | None
    facts: tuple[Fact, ...]
    config: str
    numbers: Mapping[str, Any]
    network: None = None


def view_training(run: Run, model: str) -> TrainingView:
    """The view of a finished training. model: its name for a heading."""
    return TrainingView(
        name=run.path.absolute().name,
        command=run.command,
        model=model,
        data=PurePath(str(run.config["data"]["spec"])).name,
        answer=_answer(run),
        course=view_course(run),
        rate_test=view_rate_test(run),
        facts=view_training_facts(run),
        config=config_text(run),
        numbers=numbers_of(run),
    )


def _answer(run: Run) -> Answer:
    summary, units = run.recommendation, run.units
    test, valid = (fraction(float(summary[part]["value"]), units) for part in ("test", "valid"))
    added = int(summary["added"])
    how = f", {number_of(added, 'copy', 'copies')} of its units added" if added else ""
    return Answer(
        verdict="trained",
        sentence=f"Trained{how}: {units.metric} {test} on the test examples, {valid} on validation examples.",
        meaning="One training gives no advice: probes compare several with a control.",
        additions=(),
        removals=(),
        steps=NEXT,
        warnings=(),
        notes=tuple(str(note) for note in summary["notes"]),
        costs=_tiles(run, test, valid),
        tiles=(),
    )


def _tiles(run: Run, test: str, valid: str) -> tuple[Tile, ...]:
    summary = run.recommendation
    sizes = {part: number_of(summary[part]["examples"], "example") for part in ("test", "valid")}
    metric, seconds = capital(run.units.metric), duration(float(summary["wall_seconds"]))
    return (
        Tile(label=f"{metric}, test", value=test, detail=f"{sizes['test']}, looked at once"),
        Tile(label=f"{metric}, validation", value=valid, detail=sizes["valid"]),
        Tile(
            label="Parameters",
            value=short(int(summary["params"])).replace(" ", "\u00a0"),
            detail=count(int(summary["params"])),
        ),
        Tile(label="Updates", value=count(int(summary["steps"])), detail=seconds),
    )
