"""Does surgery work on the models people have? Every model of torchvision, timm and Hugging Face, in its own process.

Run: python benchmarks/coverage.py run [torchvision timm hf] [--jobs 2] [--again failed] [--only NAME ...] [--all]
     python benchmarks/coverage.py table              (writes docs/coverage.md from the lines that were stored)
     python benchmarks/coverage.py one timm:resnet18  (one model in this process, for a closer look)

Checked on each (zoo/checks.py), with up to three growable and three shrinkable units, the first, a middle one and the
last: units are found; copies at 0 change nothing; copies at 1 and settled are equal; the recipe replays; gates at 1
change nothing; gates at 0 run, settle to fewer parameters and stay equal; a backward pass reaches every parameter that
the original's reaches; the user's model is left as found. One line per model goes to benchmarks/results/coverage; a
run that was cut goes on where it was. Lines remember the code that they judged: --again failed | stale | all tries
those anew whose code is another.
"""

import argparse
import datetime
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from zoo.cases import SOURCES, Case
from zoo.child import answer, run_child, versions
from zoo.store import append, code_hash, passed, read, tidy, wanted

DOCUMENT = Path(__file__).parents[1] / "docs" / "coverage.md"


def cases_of(source: str, every: bool = False) -> dict[str, Case]:
    """The models of a source by name. every: all of timm, not the sample."""
    from zoo import hf_zoo, timm_zoo, torchvision_zoo

    if source == "timm":
        found = timm_zoo.cases(None if every else timm_zoo.SAMPLE)
    else:
        found = torchvision_zoo.cases() if source == "torchvision" else hf_zoo.cases()
    return {case.name: case for case in found}


def run_source(source: str, chosen: argparse.Namespace) -> None:
    cases, rows, now = cases_of(source, chosen.all), read(source), code_hash()
    names = wanted(chosen.only or cases, rows, chosen.again, now)
    names = [name for name in names if name in cases]
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for name, row in zip(names, pool.map(lambda n: _row(cases[n], chosen, now), names), strict=True):
            append(row)
            verdict = row.get("excluded") or ("ok" if passed(row) else _first_failure(row))
            print(f"{source}:{name}  {row['seconds']:.0f} s  {verdict}", flush=True)
    tidy(source)
    rows = {name: row for name, row in read(source).items() if name in cases and not row.get("excluded")}
    print(f"{source}: {sum(map(passed, rows.values()))} of {len(rows)}", flush=True)


def _row(case: Case, chosen: argparse.Namespace, now: str) -> dict[str, Any]:
    stamp = {"source": case.source, "name": case.name, "group": case.group, "code": now}
    stamp |= {"date": datetime.date.today().isoformat(), "versions": versions()}
    if case.excluded:
        return {**stamp, "excluded": case.excluded, "seconds": 0.0}
    return {**stamp, **run_child(case.key, chosen.seconds, chosen.memory_gb)}


def _first_failure(row: dict[str, Any]) -> str:
    return next(f"{check}: {text}" for check, text in row["checks"].items() if text != "ok")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table", "one"))
    parser.add_argument("names", nargs="*", help="sources to run, or the one model")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", choices=("no", "failed", "stale", "all"), default="no")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every timm model")
    parser.add_argument("--seconds", type=float, default=600.0, help="limit per model")
    parser.add_argument("--memory-gb", type=float, default=14.0, help="limit of each model's address space")
    chosen = parser.parse_args()
    if chosen.what == "one":
        source, _, name = chosen.names[0].partition(":")
        answer(cases_of(source, every=True)[name], chosen.memory_gb)
    elif chosen.what == "run":
        for source in chosen.names or SOURCES:
            run_source(source, chosen)
    else:
        from zoo.table import write

        write(DOCUMENT)


if __name__ == "__main__":
    main()
