"""Is a run ever lost, or its answer ever another one? Processes killed, disks filled, files spoilt, line by line.

Run: python benchmarks/faults.py [--kills 100] [--flips 4] [--every 1] [--verbs grow ...] [--what kills ...]

Every fault is done to a small probe on digits, which is then resumed and compared with an undisturbed one:
records.jsonl and recipe.json byte for byte, model.pt bit for bit, recommendation.json apart from times. Kills come at
moments drawn uniformly, half of them over the undisturbed run's time and half over its records, and found again by how
far a run is. tune is killed only, by turns as one process and as one with two workers, of which any may be hit: every
trial must end exactly once, with the undisturbed value, and so must the answer. One JSON line per fault goes to
--store; started again, the command does what is not there yet. The table comes last. Outcomes: equal; given up (a trial
of tune lost two workers, which it is granted once; the others are equal); refused (exit code 2, saying what to type:
both checkpoints rest on one config.json and one records.jsonl); LOST; WRONG.
"""

import argparse
import datetime
import json
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from faulty import faults
from faulty.child import import_all
from faulty.place import DAMAGED, VERBS, Place, make_place

MOST_KILLS = 4  # of one run
KINDS = ("kills", "damages", "disks")
STORE = Path(__file__).parent / "results" / "faults.jsonl"


class Ledger:
    """The rows done so far."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            row = json.loads(line)
            self.rows[row["key"]] = row

    def do(self, key: str, fault: Callable[[], faults.Row | None]) -> faults.Row | None:
        """The row of a fault: as it was found before, or now."""
        if key not in self.rows:
            row = fault()
            if row is None:
                return None
            self.rows[key] = {"key": key, **row}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.rows[key]) + "\n")
            print(f"{key}: {row['what']}: {row['outcome']}", flush=True)
        return self.rows[key]


def kills(place: Place, ledger: Ledger, verb: str, wanted: int) -> None:
    done, number = 0, 0
    while done < wanted:
        key, left = f"kill/{verb}/{number}", min(MOST_KILLS, wanted - done)
        row = ledger.do(key, lambda number=number, left=left: faults.kill_run(place, verb, left, number))
        done, number = done + row["kills"], number + 1


def disks(place: Place, ledger: Ledger, verb: str, every: int) -> None:
    at = 0
    while not ledger.do(f"disk/{verb}/{at}", lambda at=at: faults.fill_disk(place, verb, at))["over"]:
        at += every
    for kilobytes in (60, 120, 240, 2000):
        if ledger.do(f"tmpfs/{verb}/{kilobytes}", lambda k=kilobytes: faults.fill_small_disk(place, verb, k)) is None:
            print("no small disk can be mounted here: left out")
            break


def damages(place: Place, ledger: Ledger, verb: str, flips: int, pairs: int) -> None:
    half = faults.interrupt_half_way(place, verb)
    run = place.folder / half
    numbers = sorted(path.name for path in (run / "checkpoints").glob("0*"))
    files = [*(f"checkpoints/{name}" for name in numbers), "config.json", "records.jsonl"]
    files += [str(path.relative_to(run)) for path in sorted((run / "checkpoints" / "candidates").glob("*.pt"))[:2]]
    for name in files:
        content = (run / name).read_bytes()
        alias = name.replace(numbers[0][:8], "older").replace(numbers[-1][:8], "newer")
        for at, (what, spoilt) in enumerate(faults.spoilt(alias, content, flips)):
            fault = (place, verb, half, name, what, spoilt)
            ledger.do(f"spoilt/{verb}/{alias}/{at}", lambda fault=fault: faults.spoil_file(*fault))
    for number in range(pairs):
        ledger.do(f"two/{verb}/{number}", lambda: faults.two_processes(place, verb, half))


def table(ledger: Ledger) -> list[str]:
    heads = f"{'fault':<10}{'verb':<10}{'faults':>8}{'equal':>8}{'given up':>10}{'refused':>9}{'lost':>6}{'wrong':>7}"
    lines = [heads]
    groups: dict[tuple[str, str], Counter[str]] = {}
    for key, row in ledger.rows.items():
        count = groups.setdefault((key.split("/")[0], row["verb"]), Counter())
        outcome = row["outcome"].split(":")[0]
        count[outcome] += 1
        count["faults"] += row.get("kills", 1)
        count.update(f"quarter {int(4 * share)}" for share in row.get("moments", ()))
        if key.startswith("kill"):
            count["runs"] += 1
    for (fault, verb), n in sorted(groups.items()):
        quarters = "-".join(str(n[f"quarter {quarter}"]) for quarter in range(4))
        runs = f"  ({n['runs']} runs; by quarter of the run: {quarters})" if n["runs"] else ""
        lines.append(
            f"{fault:<10}{verb:<10}{n['faults']:>8}{n['equal']:>8}{n['given up']:>10}{n['refused']:>9}{n['LOST']:>6}"
            f"{n['WRONG']:>7}{runs}"
        )
    total = sum(groups.values(), Counter())
    lines.append(f"{total['faults']} faults, {total['LOST']} lost runs, {total['WRONG']} wrong results")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--flips", type=int, default=4, help="flipped bits per file")
    parser.add_argument("--every", type=int, default=1, help="which writes find the disk full: 1: all of them")
    parser.add_argument("--pairs", type=int, default=3, help="how often two processes start on one folder")
    parser.add_argument("--verbs", nargs="+", choices=list(VERBS), default=list(VERBS))
    parser.add_argument("--what", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--store", type=Path, default=STORE)
    chosen = parser.parse_args()
    import_all()
    ledger = Ledger(chosen.store)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        place = make_place(Path(folder), chosen.verbs)
        for number, verb in enumerate(chosen.verbs if "kills" in chosen.what else ()):
            share = chosen.kills // len(chosen.verbs) + (number < chosen.kills % len(chosen.verbs))
            kills(place, ledger, verb, share)
        spoilt = [verb for verb in chosen.verbs if verb in DAMAGED]
        for verb in spoilt if "damages" in chosen.what else ():
            damages(place, ledger, verb, chosen.flips, chosen.pairs)
        for verb in spoilt if "disks" in chosen.what else ():
            disks(place, ledger, verb, chosen.every)
    stamp = f"torch {torch.__version__}, Python {platform.python_version()}, {datetime.date.today().isoformat()}"
    print(f"# python benchmarks/faults.py {' '.join(sys.argv[1:])}; {stamp}")
    print("\n".join(table(ledger)))


if __name__ == "__main__":
    main()
