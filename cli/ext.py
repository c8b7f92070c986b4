"""depthprobe ext: build the CUDA kernels, or say what is built and what is in use."""

import json as json_text
from typing import Annotated, Any

import typer

from depthprobe.cli import options as o

app = typer.Typer(help="Build the CUDA kernels, or show what is built.", no_args_is_help=True)
Arch = Annotated[
    str | None,
    typer.Option(
        "--arch", metavar="sm_80,sm_90", help="GPUs to build for (default: those at hand)", show_default=False
    ),
]


@app.command("build")
def build(arch: Arch = None, json: o.Json = False) -> None:
    """Compile the kernels with nvcc into the cache, unless a sound build is there."""
    import sys

    from depthprobe.ops.build import archs_here, build_kernels, parse_archs

    archs = archs_here() if arch is None else parse_archs(arch)
    print(f"building for {', '.join(archs)} (about a minute where nothing is built yet)", file=sys.stderr)
    made, problem = build_kernels(archs)
    if problem is not None:
        print(f"the build found was not used and is replaced: {problem}", file=sys.stderr)
    if json:
        print(json_text.dumps({"library": str(made.library), "archs": list(made.archs), "replaced": problem}, indent=2))
    else:
        print(f"kernels for {', '.join(made.archs)}: {made.library}")


@app.command("status")
def status(json: o.Json = False) -> None:
    """Show which kernels are built for this torch, whether they are sound, and what would run. Compiles nothing."""
    facts = kernel_facts()
    if json:
        print(json_text.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if name != "builds":
            print(f"{name + ':':<12}{value if value is not None else 'not found'}")
    for build in facts["builds"]:
        print(f"{'build:':<12}{', '.join(build['archs'])}: {build['state']} ({build['folder']})")
    if not facts["builds"]:
        print(f"{'build:':<12}none for this torch (depthprobe ext build)")


def kernel_facts() -> dict[str, Any]:
    """Which kernels there are, and what runs on this machine."""
    import torch

    from depthprobe.ops.build import find_nvcc, nvcc_version
    from depthprobe.ops.cache import builds, cache_folder, cuda_version
    from depthprobe.ops.kernels import arch_of, ops_mode

    nvcc = find_nvcc()
    devices = range(torch.cuda.device_count())
    capabilities = [torch.cuda.get_device_capability(index) for index in devices]
    found = builds()
    ready = [build for build in found if build.problem is None]
    covered = bool(capabilities) and all(any(build.covers(one) for build in ready) for one in capabilities)
    return {
        "mode": ops_mode(),
        "runs": "kernels on CUDA" if covered and ops_mode() != "reference" else "plain PyTorch (reference)",
        "devices": [arch_of(capability) for capability in capabilities],
        "torch": torch.__version__,
        "cuda": cuda_version(),
        "nvcc": None if nvcc is None else f"{nvcc_version(nvcc)} ({nvcc})",
        "cache": str(cache_folder()),
        "builds": [
            {"archs": list(build.archs), "state": build.problem or "ready", "folder": str(build.folder)}
            for build in found
        ],
    }
