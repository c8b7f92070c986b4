"""depthprobe inspect: the units of a model, what each costs, what can be done with it, and what a probe would add."""

import json as json_text
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from depthprobe.cli import options as o
from depthprobe.errors import ConfigError

TRACERS = ("auto", "fx", "modules")
LARGEST = 2**28  # numbers in one input: a gigabyte


def inspect(
    model: o.Model = None,
    dataset: o.Dataset = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input-shape", "--input", metavar="C,H,W", help="Shape of one input instead of a data set"),
    ] = None,
    tracer: Annotated[str, typer.Option("--tracer", metavar="auto|fx|modules", help="How units are found")] = TRACERS[
        0
    ],
    model_args: o.ModelArgs = None,
    data_dir: o.DataDir = None,
    image_size: o.ImageSize = None,
    copies: o.Copies = None,
    sites: o.Sites = None,
    kernel: o.Kernel = None,
    max_depth: o.MaxDepth = None,
    json: o.Json = False,
) -> None:
    """Show the model's units: shapes, costs, what can grow, shrink or be narrowed and why not. Trains nothing."""
    from depthprobe.config import GrowConfig
    from depthprobe.inputs import open_model, parse_model_args

    if tracer not in TRACERS:
        raise ConfigError(f"unknown tracer {tracer!r}", where="--tracer", expected=" | ".join(TRACERS))
    config = GrowConfig.from_json(
        o.given(copies=copies, sites=o.parse_names(sites), kernel=kernel, max_depth=max_depth)
    )
    source = open_model(o.need_model(model), parse_model_args(model_args or []))
    network, example, notes = _open(source, dataset, input_shape, data_dir, image_size)
    info = _describe(network, example, config, tracer) | {"notes": list(notes)}
    if json:
        print(json_text.dumps(info, indent=2))
    else:
        from depthprobe.cli.unit_tree import print_units

        print_units(str(model), info)


def _open(
    source: Any, dataset: str | None, shape: str | None, data_dir: Path | None, image_size: int | None
) -> tuple[Any, Any, tuple[str, ...]]:
    """The network, fitted to the data set where there is one, two inputs, and what to say."""
    from depthprobe.inputs import as_tokens, fit_to_data, open_dataset

    if shape is not None:
        network = source.build(0)
        return network, _zeros(shape, network), ()
    if dataset is None:
        raise ConfigError("the shape of the input is not known", hint="--dataset digits, or --input-shape 3,32,32")
    data = open_dataset(dataset, data_dir=data_dir, image_size=image_size)
    source, notes = fit_to_data(source, data)
    network = source.build(0)
    return network, as_tokens(data, network).train.x[:2], notes


def _zeros(shape: str, network: Any) -> Any:
    """Two inputs of this shape; token ids for a network with an Embedding and rows of one dimension."""
    import torch
    from torch import nn

    try:
        sizes = [int(part) for part in shape.split(",")]
        if not sizes or min(sizes) < 1 or math.prod(sizes) > LARGEST:
            raise ValueError
    except ValueError:
        raise ConfigError(
            "not a shape",
            where="--input-shape",
            expected="sizes of one input, 2**28 numbers at most: 3,32,32",
            found=shape,
        ) from None
    tokens = len(sizes) == 1 and any(isinstance(module, nn.Embedding) for module in network.modules())
    return torch.zeros(2, *sizes, dtype=torch.int64 if tokens else torch.float32)


def _describe(network: Any, example: Any, config: Any, tracer: str) -> dict[str, Any]:
    from depthprobe.config import TrainConfig
    from depthprobe.errors import GraphError
    from depthprobe.probes.anatomy import dissect
    from depthprobe.probes.plan import plan_grow

    anatomy = dissect(network, example, tracer)
    reasons = [{"cannot": what, "reason": why, "units": names} for (what, why), names in anatomy.reasons.items()]
    info = {**anatomy.to_json(), "reasons": reasons, "input_shape": list(example.shape[1:])}
    try:
        plan = plan_grow(network, example, config, TrainConfig(), 1000, tracer)
    except GraphError as error:
        return {**info, "grow": None, "refused": error.render()}
    candidates = [candidate.__dict__ for candidate in plan.candidates]
    return {**info, "grow": {"gates": list(plan.gates), "candidates": candidates}}
