"""How long a report of a large run takes, and how large the page is.

Run: OMP_NUM_THREADS=1 python benchmarks/report_size.py [--rounds 3]

The run is made up (`big_run.py`): 8 seeds, 40 units, 200,000 records. Timed: reading, view and page, in a process of
its own with its imports, wall clock and CPU; the least of the rounds.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from big_run import big_run

CODE = """
import resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from depthprobe.reports import write_report
write_report([Path(sys.argv[1])], Path(sys.argv[2]))
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def main():
    """Print the least of the rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        run, page = big_run(Path(place) / "run"), Path(place) / "report.html"
        command = [sys.executable, "-c", CODE, str(run), str(page)]
        found = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(rounds)]
        wall, used, memory = (min(float(text.split()[i]) for text in found) for i in range(3))
        records = sum(1 for _ in (run / "records.jsonl").open())
        sizes = [path.stat().st_size / 1e6 for path in (run / "records.jsonl", page)]
        print(f"records.jsonl: {records:,} records, {sizes[0]:.1f} MB")
        print(f"report.html: {wall:.2f} s ({used:.2f} s of CPU, peak {memory:.0f} MB), {sizes[1]:.2f} MB")


if __name__ == "__main__":
    main()
