"""Ground truth: twelve cases, every depth from 1 to 8 trained from scratch and grown.

Run: python benchmarks/ground_truth.py sweep --data-dir DATA [--cases digits-mlp ...]      (resumable; start two)
"""

import argparse
import fcntl
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch

from truth.cases import CASES
from truth.sweep import Store, run_case

STORE = Path(__file__).parent / "results" / "ground_truth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sweep"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for case in (case for case in CASES if case.name in chosen.cases):
        path = chosen.store / f"{case.name}.jsonl"
        with alone(path) as free:
            if free:
                run_case(case, Store(path), chosen.data_dir)


@contextmanager
def alone(path: Path):
    """True when no other process works on this case, which may run beside us."""
    lock = Path(tempfile.gettempdir()) / f"{path.stem}.lock"
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False


if __name__ == "__main__":
    main()
