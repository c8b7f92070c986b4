"""One model in a process of its own, with a limit on its time and its memory."""

import functools
import importlib.metadata
import json
import multiprocessing
import multiprocessing.context
import os
import re
import resource
import signal
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
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        process = _server().Process(target=_child, args=(key, gigabytes, out.name, err.name))
        process.start()
        process.join(seconds)
        late = process.is_alive()
        if late:
            process.kill()
            process.join()
        result = _read(out.read(), err.read(), None if late else process.exitcode, seconds)
    return {**result, "seconds": round(time.monotonic() - begun, 1)}


@functools.cache
def _server() -> multiprocessing.context.ForkServerContext:
    """Where the children come from: a process that has imported the packages, once for all of them."""
    here = str(Path(__file__).parents[1])
    os.environ.update(LIMITED, PYTHONPATH=os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]))
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["zoo.warm"])
    return server


def _child(key: str, gigabytes: float, out: str, err: str) -> None:
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        stream.flush()
        os.dup2(os.open(path, os.O_WRONLY), stream.fileno())
    from coverage import cases_of

    source, _, name = key.partition(":")
    answer(cases_of(source, every=True)[name], gigabytes)


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
