"""docs/paper.md, written from the lines: what the paper says, what was measured, and which claims hold."""

from collections.abc import Sequence
from pathlib import Path

from examples.paper import claims
from examples.paper.arm import Arm
from examples.paper.lines import read_lines
from examples.paper.measured import Line, error_of, interval, say_plateau
from examples.paper.rows import ORDER, Row, read_row

HEAD = Path(__file__).parent / "head.md"
SHOWN = ("cpu", "full")


def write_document(out: Path, target: Path, scales: Sequence[str] = SHOWN) -> None:
    """Write `target` from the lines in the folder `out`."""
    lines = read_lines(out / f"{scale}.jsonl" for scale in scales)
    parts = [HEAD.read_text(encoding="utf-8").rstrip()]
    parts += [describe_row([read_row(name, scale) for scale in scales], lines) for name in ORDER]
    parts += [describe_claims(scale, [line for line in lines if line["scale"] == scale]) for scale in scales]
    target.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def describe_row(scales: list[Row], lines: Sequence[Line]) -> str:
    """One experiment: the paper's words and figures, then a table per scale."""
    row = scales[0]
    parts = [f"## {row.title}", f"*{row.place}.* The paper: {row.paper}"]
    parts += [f"Where we differ: {row.differs}"] if row.differs else []
    for scaled in scales:
        mine = [line for line in lines if (line["row"], line["scale"]) == (row.name, scaled.scale)]
        parts.append(describe_scale(scaled, mine) if mine else f"Scale {scaled.scale}: not run.")
    parts += [f"What we make of it: {row.found}"] if row.found else []
    return "\n\n".join(parts)


def describe_scale(row: Row, lines: list[Line]) -> str:
    """The table of a row at one scale, and what it was measured with."""
    head = "| arm | updates | converged | test error, % | training loss | seconds |\n|---|---|---|---|---|---|"
    last, seeds = lines[-1], max(line["seed"] for line in lines) + 1
    machine = last["gpu"] or f"CPU, {last['threads']} thread{'s' * (last['threads'] > 1)}"
    image = row.settings.get("image")
    about = row.settings["dataset"] + (f" at {image}x{image}" if image else "")
    dates = " to ".join(sorted({pick(line["date"] for line in lines) for pick in (min, max)}))
    typed = f"python -m examples.paper {row.name} --scale {row.scale} --data-dir DATA --seeds {seeds}"
    note = f"Scale {row.scale}: {about}; {machine}; torch {last['versions']['torch']}; {dates}; `{typed}`."
    return "\n".join([note, "", head, *(describe_arm(row, arm, lines) for arm in row.arms)])


def describe_arm(row: Row, arm: Arm, lines: list[Line]) -> str:
    """A line of the table: mean and 95 % interval over the seeds."""
    mine = [line for line in lines if line["arm"] == arm.name]
    if not mine:
        return f"| {arm.name} | {row.steps(arm)} | not run | | | |"
    found = interval([100 * error_of(line) for line in mine])
    error = f"{found.mean:.2f}"
    if found.low is not None and found.high is not None:
        error += f" ({max(0.0, found.low):.2f} to {min(100.0, found.high):.2f})"
    losses = [line["train_loss"] for line in mine if line["train_loss"] is not None]
    loss = f"{sum(losses) / len(losses):.3f}" if losses else "not finite"
    if ended := [line["steps"] for line in mine if line["failed"]]:
        loss += f" ({len(ended)} diverged, from update {min(ended)} on)"
    if arm.width in ("dropout", "reverse") or (row.name == "section5" and arm.gates != "none"):
        error += f"; {say_plateau(mine)}"
    converged = sum(line["converged"] for line in mine)
    took = sum(line["seconds"] for line in mine) / len(mine)
    return f"| {arm.name} | {row.steps(arm)} | {converged} of {len(mine)} | {error} | {loss} | {took:.0f} |"


def describe_claims(scale: str, lines: list[Line]) -> str:
    """The table of claims at one scale; nothing where nothing was run."""
    if not lines:
        return ""
    rows = [f"## The paper's claims, at scale {scale}", "| claim | verdict | on | numbers |\n|---|---|---|---|"]
    for claim in claims.read_claims():
        verdict, cases = claims.judge(claim, lines)
        for rank, (on, one, numbers) in enumerate(cases):
            first = f"{claim['sentence']} ({claim['place']}) | **{verdict}**" if rank == 0 else " | "
            rows[-1] += f"\n| {first} | {on}: {one} | {numbers} |"
    return "\n\n".join(rows)
