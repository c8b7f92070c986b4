"""From a run to its view: every number of the page is chosen here, none is computed anew."""

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeVar

from depthprobe.errors import RunFolderError
from depthprobe.reports.axis import axis_of, candidates_of
from depthprobe.reports.course import view_course
from depthprobe.reports.holding import estimate, view_places, view_rate_test, view_rates, view_verified
from depthprobe.reports.measured import Candidate, Certainty, DepthCurve, SeedWalk
from depthprobe.reports.network import view_network
from depthprobe.reports.provenance import config_text, device_text, numbers_of, view_facts
from depthprobe.reports.reading import Run, damaged
from depthprobe.reports.training import TrainingView, view_training
from depthprobe.reports.view import Ranking, RunView
from depthprobe.reports.warning import view_warnings
from depthprobe.reports.widths import view_widths
from depthprobe.reports.words import view_answer


def view_run(run: Run) -> RunView:
    """The view of a finished probe. Raises RunFolderError when its files do not hold what they should."""
    return _checked(run, _view)


def view_train(run: Run) -> TrainingView:
    """The view of a finished training. Raises RunFolderError as `view_run` does."""
    return _checked(run, lambda training: view_training(training, short_model(training.config["model"])))


V = TypeVar("V")


def _checked(run: Run, view: Callable[[Run], V]) -> V:
    try:
        return view(run)
    except RunFolderError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise damaged(run.path, "recommendation.json or another file", repr(error)) from error


def _view(run: Run) -> RunView:
    if not run.of("measurement"):
        raise damaged(run.path, "records.jsonl", "no measurement in it")
    curve, certainty = view_curve(run), view_certainty(run)
    rates, verified = view_rates(run), view_verified(run)
    return RunView(
        name=run.path.absolute().name,
        command=run.command,
        model=short_model(run.config["model"]),
        data=PurePath(str(run.config["data"]["spec"])).name,
        answer=view_answer(run, curve, certainty, view_warnings(run, curve, certainty, rates, verified)),
        curve=curve,
        course=view_course(run),
        certainty=certainty,
        latency_note=_latency_note(run),
        network=view_network(run),
        ranking=view_ranking(run),
        widths=view_widths(run),
        rates=rates,
        places=view_places(run),
        verified=verified,
        rate_test=view_rate_test(run),
        trainings=float(run.recommendation["cost"]["trainings"]),
        facts=view_facts(run),
        config=config_text(run),
        numbers=numbers_of(run),
    )


def short_model(model: dict[str, Any]) -> str:
    """Name of a model for a heading: a file without its folders, a class for one passed from Python."""
    spec = str(model["spec"])
    return str(model["class"]).rpartition(".")[2] if "class" in model else spec.rpartition("/")[2]


def view_curve(run: Run) -> DepthCurve:
    """The metric against depth, from the answer and the cooled measurements."""
    answer, depth = run.recommendation, candidates_of(run.recommendation)
    candidates = tuple(_candidate(row, int(depth["current"])) for row in depth["candidates"])
    fitted = tuple(float(value) for value in depth["fitted"]) if depth["fitted"] else None
    walks = tuple(_walk(run, seed) for seed in answer["seeds"])
    best = max(fitted or [candidate.score.value for candidate in candidates])
    return DepthCurve(
        candidates=candidates,
        fitted=fitted,
        up=_mean_up([walk for walk in walks if not walk.failed]),
        walks=walks,
        control=estimate(answer["control"]),
        floor=best - answer["tolerance"],
        tolerance=float(answer["tolerance"]),
        confidence=float(answer["confidence"]),
        current=int(depth["current"]),
        recommended=None if depth["recommended"] is None else int(depth["recommended"]),
        best_guess=int(depth["best_guess"]),
        units=run.units,
        axis=axis_of(run.command),
        apart=run.command == "width" and int(run.config.get("course", 1)) >= 3,  # since then each is cut from the whole
    )


def view_certainty(run: Run) -> Certainty:
    """Resampling shares of every candidate, resolution and gains."""
    answer, depth = run.recommendation, candidates_of(run.recommendation)
    shares = {int(name): float(share) for name, share in depth["resamples"].items()}
    gains = [
        (label, estimate(answer["gain"][key]))
        for key, label in (
            ("over_current", f"over the current {axis_of(run.command).noun}"),
            ("over_control", "over the control"),
        )
        if key in answer["gain"]
    ]
    return Certainty(
        shares=tuple((int(row["depth"]), shares.get(int(row["depth"]), 0.0)) for row in depth["candidates"])
        if shares
        else (),
        range95=(int(depth["range95"][0]), int(depth["range95"][1])) if depth["range95"] else None,
        resolution=float(answer["resolution"]),
        tolerance=float(answer["tolerance"]),
        confidence=float(answer["confidence"]),
        gains=tuple(gain for gain in gains if gain[1].low < gain[1].high),
        units=run.units,
        axis=axis_of(run.command),
    )


def view_ranking(run: Run) -> tuple[Ranking, ...]:
    """Units in the order in which they were missed least; none for a run that ranked nothing."""
    answer = run.recommendation
    leaving = len(run.config.get("gates", []))
    return tuple(
        Ranking(
            unit=str(row["unit"]),
            loss=None if row["loss"] is None else float(row["loss"]),
            influence=None if row["influence"] is None else float(row["influence"]),
            order=rank if rank <= leaving else None,
            removed=row["unit"] in answer["remove"],
        )
        for rank, row in enumerate(answer.get("ranking", []), 1)
    )


def _candidate(row: dict[str, Any], current: int) -> Candidate:
    return Candidate(
        depth=int(row["depth"]),
        added=int(row["depth"]) - current,
        score=estimate(row),
        params=int(row["params"]),
        macs=int(row["macs"]),
        latency_ms=float(row["latency_ms"]),
        weight_bytes=int(row["weight_bytes"]) if row.get("weight_bytes") else None,
        pareto=row.get("pareto"),
    )


def _walk(run: Run, seed: int) -> SeedWalk:
    ways: dict[str, list[tuple[int, float]]] = {"up": [], "down": [], "control": []}
    counts = run.recommendation["depth"].get("arms", {})  # of shrink: a depth may have been trained from two starts
    for record in run.of("measurement", seed=seed):
        way = {"look": "up", "control, once more": "control"}.get(record["walk"], record["walk"])
        other = way == "down" and counts.get(str(record["depth"]), record["arm"]) != record["arm"]
        if way in ways and not other:  # else the copies of one place, nothing trained, or a start that did not count
            ways[way].append((int(record["depth"]), float(record["value"])))
    return SeedWalk(
        seed=seed,
        failed=seed in run.recommendation["failed_seeds"],
        up=tuple(sorted(ways["up"])),
        down=tuple(sorted(ways["down"])),
        control=ways["control"][-1][1] if ways["control"] else None,  # the earlier ones were lost, or cut down
    )


def _mean_up(walks: list[SeedWalk]) -> tuple[tuple[int, float], ...]:
    values: dict[int, list[float]] = {}
    for walk in walks:
        for depth, value in walk.up:
            values.setdefault(depth, []).append(value)
    return tuple((depth, sum(found) / len(found)) for depth, found in sorted(values.items()))


def _latency_note(run: Run) -> str:
    batch = run.config["train"]["batch_size"]
    return f"median forward pass over one batch of {batch:,} examples on {device_text(run.environment)}"
