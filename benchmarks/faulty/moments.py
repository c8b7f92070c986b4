"""When a run is killed: a moment of the undisturbed run, found again in another one by how far that is.

A moment is so much time after a point of progress (a record, a file), and not after the start: on a machine that is
busier than before the kill still hits the same part of the run.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

FILES = ("recipe.json", "best.toml", "plots.json", "model.pt", "recommendation.json", "report.html")
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Moment:
    """share: of the undisturbed run's time; progress: points of it reached before; delay: seconds after the last."""

    share: float
    progress: int
    delay: float


@dataclass
class Course:
    """A run that is watched: when it reached every point of progress, in seconds."""

    folder: Path
    began: float = field(default_factory=time.monotonic)
    reached: list[float] = field(default_factory=list)
    looked: float = 0.0

    def look(self) -> bool:
        """Note what was reached since; False: nobody is to be killed."""
        now = time.monotonic()
        if now - self.looked >= POLL_SECONDS:
            self.looked = now
            self.reached += [now - self.began] * (progress(self.folder) - len(self.reached))
        return False

    def share(self, point: float) -> float:
        """The share of the time at which so many points were reached, between two of them in proportion."""
        times = [0.0, *self.reached]
        before = int(point)
        return (times[before] + (point - before) * (times[before + 1] - times[before])) / times[-1]

    def moment(self, share: float) -> Moment:
        """The moment at this share of the time up to the last point."""
        at = share * self.reached[-1]
        before = [0.0, *(point for point in self.reached if point <= at)]
        return Moment(share, len(before) - 1, at - before[-1])


def progress(folder: Path) -> int:
    """Points of progress of a run: that its folder is there, its records, the files of its answer."""
    try:
        records = (folder / "records.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0
    return 1 + records + sum((folder / name).exists() for name in FILES)


def draw(course: Course, dice: random.Random, count: int) -> list[Moment]:
    """Moments in the order in which a run that goes on meets them: every other one uniform over the undisturbed run's
    time, the rest uniform over its points of progress, which are dense where it trains.
    """
    points = len(course.reached)
    shares = [dice.random() if k % 2 else course.share(dice.random() * points) for k in range(count)]
    return [course.moment(share) for share in sorted(shares)]


@dataclass
class Killer:
    """Kills a run, and its resumed ones, at `moments`. choose: which process of that with this id is hit."""

    folder: Path
    moments: list[Moment]
    choose: Callable[[int], int] = lambda pid: pid
    hits: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    there: float | None = None
    looked: float = 0.0

    def strike(self, pid: int) -> int | None:
        """The process to be killed now, if any. What is further already is killed after the moment's delay."""
        now, moment = time.monotonic(), next(iter(self.moments), None)
        if moment is None:
            return None
        if self.there is None and now - self.looked >= POLL_SECONDS:
            self.looked = now
            self.there = now if progress(self.folder) >= moment.progress else None
        if self.there is None or now - self.there < moment.delay:
            return None
        victim = self.choose(pid)
        self.shares.append(round(moment.share, 3))
        self.hits.append(
            f"{moment.share:.0%} (progress {progress(self.folder)}{', a worker' if victim != pid else ''})"
        )
        self.there, self.moments = None, self.moments[1:]
        return victim
