"""Progress on stderr: a live table of seeds and arms with ratio bars, or plain lines where there is no terminal."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from depthprobe.cli.saying import say
from depthprobe.counting import number_of
from depthprobe.probes.listener import Listener

BARS = " ▁▂▃▄▅▆▇█"


class Watcher(Listener):
    """Counts, draws nothing: the quiet view, and the base of the others."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.rows: dict[tuple[int, str, float], dict[str, Any]] = {}  # by seed, arm and factor on the rate
        self.total = 1
        self.done_before = 0
        self.finished_updates = 0
        self.began = time.monotonic()
        self.head: list[str] = []
        self.length: dict[str, int] = {}  # updates of an arm's trunk, which its steps count
        self.metric = "accuracy"
        self.noun = "layers"  # what is measured at
        self.per_arm: dict[str, int] = {}  # updates in all, cooled branches included

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def begun(self, setup: Any, done_arms: int, arms: Sequence[Any]) -> None:
        """Remember what is to be done."""
        self.began = time.monotonic()
        self.head = headline(setup)
        self.metric = setup.own.metric.name
        self.noun = noun_of(setup)
        for arm in arms:
            self.length[arm.kind], self.per_arm[arm.kind] = arm_updates(setup, arm)
            self.rows.setdefault(key_of(arm), {"state": "waiting", "step": 0})
        for arm in arms[:done_arms]:
            if self.rows[key_of(arm)]["state"] != "failed":
                self.rows[key_of(arm)].update(state="done", step=self.length[arm.kind])
        self.total = sum(self.per_arm[arm.kind] for arm in arms)
        if hasattr(setup, "ran"):  # a shrink probe names its arms one after another
            self.total = max(self.total, setup.forecast.updates)
        self.done_before = self.finished_updates = sum(self.per_arm[arm.kind] for arm in arms[:done_arms])

    def arm_begun(self, arm: Any, step: int) -> None:
        """Its row becomes the running one."""
        self.rows[key_of(arm)].update(state="running", step=step)

    def arm_skipped(self, arm: Any) -> None:
        """It no longer counts."""
        self.total -= self.per_arm[arm.kind]
        self.rows.pop(key_of(arm), None)

    def progress(self, arm: Any, step: int, loss: float, ratios: list[float]) -> None:
        """Its step, loss and ratios. Past its planned end it is trained once more: width's control, where that pays."""
        if step > self.length[arm.kind]:
            more = self.length[arm.kind]
            self.length[arm.kind] += more
            self.per_arm[arm.kind] += more
            self.total += more
        self.rows[key_of(arm)].update(state="running", step=step, loss=loss, ratios=ratios)

    def recorded(self, record: dict[str, Any]) -> None:
        """The metric from traces and measurements; the end of arms."""
        row = self.rows[record_key(record)]
        if record["kind"] in ("trace", "measurement"):
            row["value"] = record["value"]
        if record["kind"] == "measurement":
            row.setdefault("measured", []).append((record["depth"], record["value"]))
        if record["kind"] == "failure":
            row.update(state="failed", what=record["what"])
        if record["kind"] == "arm":
            row["state"] = "failed" if row["state"] == "failed" else "done"
            self.finished_updates += self.per_arm[record["arm"]]

    def share(self) -> float:
        """Share of all updates done (0..1)."""
        running: float = sum(
            self.per_arm[kind] * min(1.0, row["step"] / max(1, self.length[kind]))
            for (_, kind, _), row in self.rows.items()
            if row["state"] == "running"
        )
        return min(1.0, (self.finished_updates + running) / max(1, self.total))

    def time_left(self) -> str:
        """Minutes and seconds, from the pace so far."""
        before = self.done_before / max(1, self.total)
        share, spent = self.share(), time.monotonic() - self.began
        if share - before < 0.01:
            return "--:--"
        return clock(spent / (share - before) * (1 - share))


class PlainView(Watcher):
    """One line per measurement and failure."""

    def __init__(self) -> None:
        super().__init__()
        self.traces = 0

    def begun(self, setup: Any, done_arms: int, arms: Sequence[Any]) -> None:
        """The forecast first."""
        known = bool(self.rows)
        super().begun(setup, done_arms, arms)
        verifying = any(arm.kind.startswith("verify") for arm in arms)
        for line in (["verifying: both architectures from scratch"] if verifying else []) if known else self.head:
            say(line)

    def recorded(self, record: dict[str, Any]) -> None:
        """Say what was measured."""
        super().recorded(record)
        place = f"seed {record['seed']} {arm_name(*record_key(record)[1:]).partition(', ')[0]}"
        if record["kind"] == "trace" and record["arm"] == "train":
            self.traces += 1
            if self.traces % 5 == 0:
                say(
                    f"step {record['step']:>7,}  loss {record['loss']:.3f}  {self.metric} {short(record['value'])}  "
                    f"{100 * self.share():3.0f} %, {self.time_left()} left"
                )
        if record["kind"] == "stop":
            say(record["what"])
        if record["kind"] == "failure":
            say(f"{place} FAILED: {record['what']}")
        noun = "layer" if (record.get("depth"), self.noun) == (1, "layers") else self.noun
        if record["kind"] == "measurement" and not (record["walk"] == "down" and self._twin(record)):
            walk = record["walk"].rpartition(", ")[2]  # "control, once more"
            say(
                f"{place:<15} {walk:<8}{record['depth']:>4} {noun:<{len(self.noun)}}  "
                f"{self.metric} {short(record['value'])}  "
                f"{100 * self.share():3.0f} %, {self.time_left()} left"
            )

    def _twin(self, record: dict[str, Any]) -> bool:
        measured = self.rows[record_key(record)].get("measured", [])
        return len(measured) > 1 and measured[-2] == measured[-1]


class LiveView(Watcher):
    """A table that is redrawn in place."""

    def __init__(self) -> None:
        super().__init__()
        self.live = Live(console=Console(stderr=True), refresh_per_second=4, get_renderable=self.draw)

    def __enter__(self) -> Self:
        self.live.__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        self.live.__exit__(*what)

    def draw(self) -> Group:
        """The whole view."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        last = f"gates, then {self.noun}: {self.metric}"
        for name in ("seed", "arm", "progress", "loss", self.metric, last):
            table.add_column(Text(name), no_wrap=name != last)
        for (seed, kind, rate), row in self.rows.items():
            table.add_row(str(seed), arm_name(kind, rate), *self._cells(kind, row))
        lines = [Text(line) for line in self.head]
        foot = Text(f"{100 * self.share():.0f} %, {self.time_left()} left", style="bold") if self.rows else Text("")
        return Group(*lines, table, foot)

    def _cells(self, kind: str, row: dict[str, Any]) -> list[Text]:
        state = row["state"]
        if state == "waiting":
            return [Text("waiting", style="dim")]
        done = row["step"] / max(1, self.length[kind]) if state == "running" else 1.0
        colour = {"failed": "red", "done": "green"}.get(state, "cyan")
        bar = Text("█" * round(12 * min(1.0, done)), style=colour) + Text(
            "░" * (12 - round(12 * min(1.0, done))), style="dim"
        )
        loss = f"{row['loss']:.3f}" if row.get("loss") is not None else ""
        value = short(row["value"]) if row.get("value") is not None else ""
        return [bar, Text(loss), Text(value), last_cell(row)]


def key_of(arm: Any) -> tuple[int, str, float]:
    """The row of an arm."""
    return arm.seed, arm.kind, arm.rate


def record_key(record: dict[str, Any]) -> tuple[int, str, float]:
    """The row of a record; records of the main rate carry none."""
    return record["seed"], record["arm"], record.get("rate", 1.0)


def arm_name(kind: str, rate: float) -> str:
    """The arm's kind, and at another rate than the main one its factor: grow lr*3."""
    return kind if rate == 1.0 else f"{kind} lr/{1 / rate:.2g}" if rate < 1.0 else f"{kind} lr*{rate:.2g}"


def last_cell(row: dict[str, Any]) -> Text:
    """Ratio bars while an arm runs, what was measured once it is done, the reason when it failed."""
    if row["state"] == "failed":
        return Text(row["what"], style="red")
    if row["state"] == "done":
        return Text(
            "  ".join(f"{depth}: {short(value)}" for depth, value in sorted(dict(row.get("measured", [])).items()))
        )
    return ratio_bars(row.get("ratios") or [])


def short(value: float) -> str:
    """A value of the metric: three decimals, or four digits of what is large."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def ratio_bars(ratios: list[float]) -> Text:
    """One character per gate, its height the ratio."""
    return Text("".join(BARS[round(ratio * (len(BARS) - 1))] if ratio > 0 else "·" for ratio in ratios), style="cyan")


def headline(setup: Any) -> list[str]:
    """What will be done and what it will cost."""
    forecast = getattr(setup, "forecast", None)
    if forecast is None:
        how = "growing in" if setup.config.grow else "with"
        added = ", ".join(f"{edit.copies} x after {edit.unit}" for edit in setup.edits)
        first = f"training: {setup.steps:,} updates" + (f", {how} {added}" if added else "")
        return [setup.lr_note, first, *(f"note: {note}" for note in setup.notes)]
    plan, seeds = setup.bench.plan, number_of(setup.config.seeds, "seed")
    rates = " at three rates" if getattr(setup.config, "sensitivity", False) else ""
    return [
        setup.lr_note,
        f"probing {', '.join(map(str, plan.depths))} {of_what(setup)} with {seeds}{rates}: "
        f"{forecast.updates:,} updates = {forecast.trainings:.1f} trainings of the deepest{about(forecast.seconds)}",
        *([setup.budget_note] if setup.budget_note else []),
        setup.tolerance_note,
        *(f"note: {note}" for note in setup.notes),
    ]


def noun_of(setup: Any) -> str:
    """What the numbers that are measured at count."""
    return "%" if "width" in {arm.kind for arm in getattr(setup, "arms", ())} else "layers"


def of_what(setup: Any) -> str:
    """The same in full."""
    return {"%": "% of the channels"}.get(noun_of(setup), "weight layers")


def about(seconds: float | None) -> str:
    """How long it will take, where it was timed."""
    if seconds is None:
        return ""
    text = number_of(round(seconds), "second") if seconds < 90 else f"{seconds / 60:.2g} minutes"
    return f", about {text} on this machine"


def arm_updates(setup: Any, arm: Any) -> tuple[int, int]:
    """Updates of one arm: of its trunk, and with its cooled branches."""
    if not hasattr(setup, "bench"):
        return setup.steps, setup.steps
    plan = setup.bench.plan
    if arm.kind.startswith("verify"):
        return plan.steps, plan.steps
    if arm.kind.startswith("control"):
        return plan.updates, plan.updates
    if arm.kind.startswith("at "):  # the long branch of a candidate
        return plan.branch, plan.branch
    schedule = plan.schedule(arm.rank)
    rising = sum(hold.walk == "up" and hold.opened != plan.opened[-1] for hold in schedule.holds)
    return schedule.steps, schedule.steps + plan.up_cool * rising + plan.cool * (len(schedule.holds) - rising)


def clock(seconds: float) -> str:
    """1:05 or 1:02:03."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
