"""The paper's experiments: python -m examples.paper --scale cpu --all --data-dir DATA (or ROW ... in place of --all).

The same command goes on where it was interrupted. Finished arms are lines of OUT/<scale>.jsonl.
"""

import argparse
from pathlib import Path

from depthprobe.errors import DepthprobeError, RunFolderError
from examples.paper.document import write_document
from examples.paper.jobs import run_arm
from examples.paper.rows import ORDER, SCALES, read_row

ROOT = Path(__file__).parents[2]


def main(words: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.paper", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ORDER))
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--arm", action="append", help="only this arm (again for more)")
    parser.add_argument("--seeds", type=int, help="of every arm; default: as many as the row's file says")
    parser.add_argument("--data-dir", type=Path, help="local copies of the data sets; nothing is downloaded then")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "paper")
    parser.add_argument("--list", action="store_true", help="rows and arms")
    parser.add_argument("--document", action="store_true", help="write the page from the lines (--all does it too)")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "paper.md")
    chosen = parser.parse_args(words)
    if unknown := set(chosen.rows) - set(ORDER):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; expected: {', '.join(ORDER)}")
    rows = [read_row(name, chosen.scale) for name in ORDER if not chosen.rows or name in chosen.rows]
    wanted = [(row, arm) for row in rows for arm in row.arms if not chosen.arm or arm.name in chosen.arm]
    if chosen.list:
        print("\n".join(f"{row.name:14} {arm.name:40} {row.steps(arm):7} steps" for row, arm in wanted))
    elif chosen.rows or chosen.all:
        jobs = [(row, arm, seed) for row in rows for seed in range(chosen.seeds or row.seeds) for arm in row.arms]
        for row, arm, seed in [job for job in jobs if job[:2] in wanted]:
            try:
                run_arm(row, arm, seed, chosen.out, chosen.data_dir)
            except RunFolderError as error:
                print(f"{row.name}: {arm.name}, seed {seed}: passed over ({str(error).splitlines()[0]})", flush=True)
    elif not chosen.document:
        parser.error("say which: ROW ..., --all, --list or --document")
    if chosen.document or (chosen.all and chosen.scale != "smoke" and not chosen.list):
        write_document(chosen.out, chosen.page)


if __name__ == "__main__":
    try:
        main()
    except DepthprobeError as error:
        raise SystemExit(f"error: {error}") from error
