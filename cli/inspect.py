"""depthprobe inspect: units, sites, shapes, and what would be added, without training."""

import json as json_text
from pathlib import Path
from typing import Annotated, Any

import typer

from depthprobe.cli import options as o
from depthprobe.errors import ConfigError


def inspect(
    model: o.Model = None,
    dataset: o.Dataset = None,
    input_shape: Annotated[
        str | None, typer.Option("--input", metavar="C,H,W", help="Shape of one input instead of a data set")
    ] = None,
    model_args: o.ModelArgs = None,
    data_dir: o.DataDir = None,
    image_size: o.ImageSize = None,
    copies: o.Copies = None,
    sites: o.Sites = None,
    kernel: o.Kernel = None,
    max_depth: o.MaxDepth = None,
    json: o.Json = False,
) -> None:
    """Show the model's units, why some cannot grow, and what a grow probe would add. Trains nothing."""
    from depthprobe.config import GrowConfig
    from depthprobe.inputs import open_model, parse_model_args

    config = GrowConfig.from_json(
        o.given(copies=copies, sites=o.parse_names(sites), kernel=kernel, max_depth=max_depth)
    )
    source = open_model(o.need_model(model), parse_model_args(model_args or []))
    example = _example(dataset, input_shape, data_dir, image_size)
    info = _describe(source.build(0), example, config)
    if json:
        print(json_text.dumps(info, indent=2))
    else:
        _print(str(model), info)


def _example(dataset: str | None, shape: str | None, data_dir: Path | None, image_size: int | None) -> Any:
    import torch

    if shape is not None:
        try:
            sizes = [int(part) for part in shape.split(",")]
            if not sizes or min(sizes) < 1:
                raise ValueError
        except ValueError:
            raise ConfigError(
                "not a shape", where="--input", expected="sizes of one input: 3,32,32", found=shape
            ) from None
        return torch.zeros(2, *sizes)
    from depthprobe.inputs import open_dataset

    if dataset is None:
        raise ConfigError("the shape of the input is not known", hint="--dataset digits, or --input 3,32,32")
    return open_dataset(dataset, data_dir=data_dir, image_size=image_size).train.x[:2]


def _describe(network: Any, example: Any, config: Any) -> dict[str, Any]:
    from depthprobe.config import TrainConfig
    from depthprobe.errors import GraphError
    from depthprobe.graph.costs import count_macs, count_parameters
    from depthprobe.graph.units import units
    from depthprobe.probes.plan import plan_grow

    rows = [
        {
            "name": unit.name, "kind": unit.kind, "layers": unit.layers, "in_shape": list(unit.in_shape),
            "out_shape": list(unit.out_shape), "params": unit.params, "growable": unit.growable,
            "shrinkable": unit.shrinkable, "narrowable": unit.narrowable, "reason": unit.reason,
        }
        for unit in units(network, example)
    ]  # fmt: skip
    info: dict[str, Any] = {
        "units": rows,
        "params": count_parameters(network),
        "macs": count_macs(network, example),
        "input_shape": list(example.shape[1:]),
    }
    try:
        plan = plan_grow(network, example, config, TrainConfig(), 1000)
    except GraphError as error:
        return {**info, "grow": None, "refused": error.render()}
    info["grow"] = {
        "gates": list(plan.gates),
        "candidates": [candidate.__dict__ for candidate in plan.candidates],
    }
    return info


def _print(model: str, info: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(
        Text(f"{model}: input {_shape(info['input_shape'])}, {info['params']:,} parameters, {info['macs']:,} MACs")
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("unit", "layers", "in", "out", "parameters", "grow", "shrink", "reason"):
        table.add_column(name, justify="right" if name == "parameters" else "left", no_wrap=name != "reason")
    for row in info["units"]:
        flags = ["yes" if row[key] else "-" for key in ("growable", "shrinkable")]
        shapes = [_shape(row[key]) for key in ("in_shape", "out_shape")]
        cells = [row["name"], row["layers"], *shapes, f"{row['params']:,}", *flags, row["reason"]]
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    if info["grow"] is None:
        console.print(Text(info["refused"], style="yellow"))
        return
    console.print()
    console.print(Text("depthprobe grow would measure:", style="bold"))
    plan = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("layers", "parameters", "MACs", "last layer added"):
        plan.add_column(name, justify="right" if name != "last layer added" else "left")
    for row in info["grow"]["candidates"]:
        last = info["grow"]["gates"][row["opened"] - 1] if row["opened"] else "(as it is)"
        plan.add_row(str(row["depth"]), f"{row['params']:,}", f"{row['macs']:,}", Text(last))
    console.print(plan)


def _shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))
