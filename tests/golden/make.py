"""Makes golden runs of the present course: python tests/golden/make.py runs-v2c shrink width

Finished ones and ones that were killed half-way, from the checkpoint in runs-v2/train; paths become @HERE@, and
environment.json says nothing of the machine.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOLDEN = Path(__file__).parent
OPTIONS = [
    "--threads",
    "1",
    "--lr",
    "0.05",
    "--steps",
    "80",
    "--batch-size",
    "32",
    "--quiet",
    "--json",
    "--seeds",
    "1",
    "--tolerance",
    "0.02",
]


def main(name: str, verbs: list[str]) -> None:
    place = Path(tempfile.mkdtemp())
    shutil.copy(GOLDEN / "golden_net.py", place)
    shutil.copy(GOLDEN / "runs-v2" / "train" / "model.pt", place / "trained.pt")
    for verb in verbs:
        command = [sys.executable, "-m", "depthprobe", verb, "trained.pt", *OPTIONS, "--out"]
        subprocess.run([*command, f"old/{verb}"], cwd=place, check=True, capture_output=True)
        records = place / "old" / f"{verb}-cut" / "records.jsonl"
        half = (place / "old" / verb / "records.jsonl").read_bytes().count(b'"measurement"') // 2
        process = subprocess.Popen([*command, f"old/{verb}-cut"], cwd=place, stdout=subprocess.DEVNULL)
        while not records.exists() or records.read_bytes().count(b'"measurement"') < half:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for run in (verb, f"{verb}-cut"):
            store(place / "old" / run, GOLDEN / name / run, place)


def store(run: Path, golden: Path, place: Path) -> None:
    """Copy a run without what can be made again, naming no machine."""
    shutil.copytree(run, golden, ignore=shutil.ignore_patterns("report.html", "*.lock", ".lock"))
    config = golden / "config.json"
    before = hashlib.sha256(config.read_bytes()).hexdigest()
    config.write_text(config.read_text().replace(str(place), "@HERE@"))
    after = hashlib.sha256(config.read_bytes()).hexdigest()
    for manifest in (golden / "checkpoints").glob("*.json"):
        manifest.write_text(manifest.read_text().replace(before, after))
    environment = json.loads((golden / "environment.json").read_text())
    environment["platform"] = "Linux"
    (golden / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(sys.argv[1], sys.argv[2:])
