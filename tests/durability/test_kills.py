"""Five SIGKILLs at random moments over grow, shrink and width: nothing is lost, and no bit is another one.

`benchmarks/faults.py` does the same a hundred times, and worse things; here it is run at its smallest.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_five_kills_lose_nothing(tmp_path):
    store = tmp_path / "faults.jsonl"
    words = [sys.executable, str(BENCHMARKS / "faults.py"), "--kills", "5", "--what", "kills", "--store", str(store)]
    words += ["--verbs", "grow", "shrink", "width"]  # tests/tuning kills tune
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in store.read_text().splitlines()]
    print(done.stdout)
    assert sum(row["kills"] for row in rows) == 5
    assert {row["outcome"] for row in rows} == {"equal"}
    assert {row["verb"] for row in rows} == {"grow", "shrink", "width"}
    assert "0 lost runs, 0 wrong results" in done.stdout
