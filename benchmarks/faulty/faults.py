"""The faults, one function each: a row with `what` was done and its `outcome` (equal, given up, refused, LOST or
WRONG).
"""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faulty.child import Ended, run, start, wait
from faulty.moments import Killer, draw
from faulty.place import Place
from faulty.studies import given_up, local_workers

Row = dict[str, Any]


def kill_run(place: Place, verb: str, kills: int, number: int) -> Row:
    """One run killed at `kills` random moments at most, resumed each time, then compared.

    Every other run of tune has two workers, and one of its processes is hit, whichever it is.
    """
    dice, out = random.Random(f"{verb}/{number}"), f"killed-{verb}-{number}"
    folder, workers = place.folder / out, 2 if verb == "tune" and number % 2 else 1
    killer = Killer(folder, draw(place.courses[verb], dice, kills))
    if workers > 1:
        killer.choose = lambda pid: dice.choice([pid, *local_workers(pid)])
    while True:
        killer.there = None
        words = place.resume(out) if folder.exists() else place.words(verb, out, workers)
        ended = wait(start(words, place.folder), killer.strike)
        if ended.code >= 0:
            break
    stages = [path.name for path in place.folder.glob(f".{out}.*")]
    outcome = judge(place, verb, out, ended) if not stages else f"WRONG: {stages} left"
    if verb == "tune" and outcome == "equal" and (lost := given_up(folder)):
        outcome = f"given up: {lost} lost two workers; the others are as in the undisturbed study"
    place.remove(out)
    what = f"{f'{workers} workers, ' if workers > 1 else ''}killed at {', '.join(killer.hits) or 'no moment'}"
    return {"verb": verb, "kills": len(killer.hits), "moments": killer.shares, "what": what, "outcome": outcome}


def judge(place: Place, verb: str, out: str, ended: Ended) -> str:
    if ended.code:
        return f"LOST: exit code {ended.code}, {ended.err.strip()[:200]}"
    different = place.difference(verb, out)
    return f"WRONG: {different}" if different else "equal"


def full_disk(at: int) -> Callable[[], None]:
    """From the sync number `at` on the disk is full. Every file and folder that a run writes is synced."""

    def spoil() -> None:
        real, count = os.fsync, [0]

        def fsync(handle: Any) -> None:
            count[0] += 1
            if count[0] > at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        os.fsync = fsync

    return spoil


def fill_disk(place: Place, verb: str, at: int) -> Row:
    """The disk is full from a write on: exit code 3 with the command to resume (2 and nothing, before the folder)."""
    out = f"full-{verb}"
    place.remove(out)
    ended = run(place.words(verb, out), place.folder, full_disk(at))
    row = {"verb": verb, "at": at, "what": f"disk full from write {at} on", "over": ended.code == 0}
    if ended.code == 0:
        return {**row, "outcome": judge(place, verb, out, ended)}
    there = (place.folder / out).exists()
    expected = (3, f"depthprobe resume {out}") if there else (2, "another --out")
    if ended.code != expected[0] or not ended.last_line.endswith(expected[1]) or "Traceback" in ended.err:
        return {**row, "outcome": f"WRONG: exit code {ended.code}, {ended.err.strip()[-300:]}"}
    half = [path.name for path in place.folder.glob(f"**/*{out}*.partial")]
    if half or list((place.folder / out).rglob("*.partial")):
        return {**row, "outcome": "WRONG: half-written files"}
    again = run(place.resume(out) if there else place.words(verb, out), place.folder)
    return {**row, "outcome": judge(place, verb, out, again)}


def fill_small_disk(place: Place, verb: str, kilobytes: int) -> Row | None:
    """A real file system of so many kilobytes, full after a while; then there is room. None: it cannot be mounted."""
    disk = place.folder / "disk"
    disk.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return None
    try:
        ended = run(place.words(verb, "disk/run"), place.folder)
        first = ended.code
        if first:
            grow = ["mount", "-o", "remount,size=64m", str(disk)]
            subprocess.run(grow, check=True)
            there = (disk / "run").exists()
            ended = run(place.resume("disk/run") if there else place.words(verb, "disk/run"), place.folder)
        outcome = judge(place, verb, "disk/run", ended) if first in (0, 2, 3) else f"WRONG: exit code {first}"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return {"verb": verb, "at": kilobytes, "what": f"a disk of {kilobytes} kB, exit code {first}", "outcome": outcome}


def interrupt_half_way(place: Place, verb: str) -> str:
    """A run killed half-way, by the number of its checkpoints, to be spoilt; returns its folder."""
    out, half = f"half-{verb}", newest(place.folder / f"whole-{verb}") // 2
    place.remove(out)
    child = start(place.words(verb, out), place.folder)
    wait(child, lambda pid: pid if newest(place.folder / out) >= half else None)
    return out


def newest(run_folder: Path) -> int:
    """The number of a run's newest checkpoint."""
    numbers = [int(path.stem) for path in (run_folder / "checkpoints").glob("*.json") if path.stem.isdecimal()]
    return max(numbers, default=-1)


def spoilt(name: str, content: bytes, flips: int) -> Iterator[tuple[str, bytes]]:
    """Truncations and flipped bits of one file."""
    dice = random.Random(name)
    for size in sorted({0, 1, len(content) // 3, len(content) - 1}):
        yield f"cut to {size} of {len(content)} bytes", content[:size]
    for _ in range(flips):
        place, bit = dice.randrange(len(content)), 1 << dice.randrange(8)
        yield f"bit {bit} of byte {place}", content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def spoil_file(place: Place, verb: str, half: str, name: str, what: str, content: bytes) -> Row:
    """Resume with a spoilt file: equal in the end, or refused with what to type."""
    out = f"spoilt-{verb}"
    place.remove(out)
    shutil.copytree(place.folder / half, place.folder / out)
    (place.folder / out / name).write_bytes(content)
    ended = run(place.resume(out), place.folder)
    row = {"verb": verb, "what": f"{name}: {what}"}
    if ended.code == 2 and "Traceback" not in ended.err and "try:" in ended.last_line:
        return {**row, "outcome": "refused"}
    return {**row, "outcome": judge(place, verb, out, ended)}


def two_processes(place: Place, verb: str, half: str) -> Row:
    """Two resume one folder at once: one goes on, the other is refused by the first one's process number."""
    out = f"two-{verb}"
    place.remove(out)
    shutil.copytree(place.folder / half, place.folder / out)
    children = [start(place.resume(out), place.folder) for _ in range(2)]
    ended = [wait(child) for child in children]
    order = sorted(range(2), key=lambda k: ended[k].code)
    winner, loser = ended[order[0]], ended[order[1]]
    row = {"verb": verb, "what": f"two processes: exit codes {winner.code} and {loser.code}"}
    late = loser.code == 0 and "finished already" in loser.err
    if not late and (loser.code != 2 or f"process {children[order[0]].pid} on " not in loser.err):
        return {**row, "outcome": f"WRONG: {loser.err.strip()[:200]}"}
    return {**row, "outcome": judge(place, verb, out, winner)}
