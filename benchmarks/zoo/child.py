"""One model in a process of its own, with a limit on its time and its memory."""

import importlib.metadata
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMITED = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
PACKAGES = ("torch", "torchvision", "timm", "transformers")


def run_child(key: str, seconds: float, gigabytes: float) -> dict[str, Any]:
    """Try the model `key` ("timm:resnet18"): what `try_case` returns, or where it ended and why."""
    begun = time.monotonic()
    script = str(Path(__file__).parents[1] / "coverage.py")
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        words = [sys.executable, script, "one", key, "--memory-gb", str(gigabytes)]
        process = subprocess.Popen(words, stdout=out, stderr=err, env={**os.environ, **LIMITED})
        try:
            code: int | None = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        out.seek(0)
        err.seek(0)
        result = _read(out.read(), err.read(), code, seconds)
    return {**result, "seconds": round(time.monotonic() - begun, 1)}


def _read(out: str, err: str, code: int | None, seconds: float) -> dict[str, Any]:
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    results = [line["result"] for line in lines if "result" in line]
    if results:
        return results[-1]
    begun = [line["begin"] for line in lines if "begin" in line] or ["start"]
    if code is None:
        reason = f"not done after {seconds:.0f} s"
    elif code < 0:
        reason = f"ended by {signal.Signals(-code).name}"
    else:
        reason = (err.strip().splitlines() or ["no message"])[-1]
    reason = re.sub(r"(/[^/\s]+)+/site-packages/", "", reason)[:300]
    return {"checks": {begun[-1]: reason}, "out_of_memory": _is_memory(reason)}


def answer(case: Any, gigabytes: float) -> None:
    """The child's part: limit the memory, try the model, print what came of it."""
    import torch

    from zoo.checks import try_case

    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    torch.set_num_threads(1)
    result = try_case(case, lambda name: print(json.dumps({"begin": name}), flush=True))
    result["out_of_memory"] = any(_is_memory(text) for text in result["checks"].values())
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"result": result}), flush=True)


def versions() -> dict[str, str]:
    """Versions of Python, torch and the packages that bring the models."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _is_memory(reason: str) -> bool:
    return any(words in reason for words in ("allocate memory", "out of memory", "MemoryError", "SIGKILL"))
