"""depthprobe doctor: versions, device, threads, kernels in use."""

import json as json_text
from typing import Any

from depthprobe.cli import options as o


def doctor(json: o.Json = False) -> None:
    """Show versions, devices, threads and which kernels are in use."""
    import torch

    from depthprobe.cli.ext import kernel_facts
    from depthprobe.probes.environment import describe_environment

    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    facts = describe_environment(device)
    facts.pop("command_line")
    facts["kernels"] = kernel_facts()["runs"]
    facts["oneDNN"] = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    facts["bf16"] = device == "cpu" or torch.cuda.is_bf16_supported()
    if json:
        print(json_text.dumps(facts, indent=2))
    else:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in facts.items():
        if name == "packages":
            for package, version in value.items():
                table.add_row(Text(package, style="dim"), Text(version or "not installed"))
        elif value is not None:
            table.add_row(name, Text(str(value)))
    Console(highlight=False).print(table)
