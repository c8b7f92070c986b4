"""A network as ONNX, with any batch size, checked against the network before it counts."""

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.errors import GraphError, ModelError
from depthprobe.exporting.code import tensors_of
from depthprobe.graph.example import split_inputs

TOLERANCE = 1e-4  # of the largest output, and absolutely for small ones
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def write_onnx(net: nn.Module, example_inputs: Any, path: Path) -> None:
    """Write `net` in eval mode to `path`; its first dimension is any batch.

    Runs the file on the example and on a batch one larger. Raises ModelError when a package is missing, GraphError when
    torch cannot export the network or the outputs differ by more than 1e-4.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(f"{missing[0]} is not installed", where="--format onnx", hint="pip install 'depthprobe[onnx]'")
    args, kwargs = split_inputs(example_inputs)
    net = net.eval()
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                net, args, str(path), kwargs=kwargs, dynamo=True, external_data=False,
                dynamic_shapes=_shapes(net, args, kwargs), verbose=False,
            )  # fmt: skip
    except Exception as error:
        raise GraphError(
            f"{type(net).__name__} cannot be written as ONNX", found=f"{type(error).__name__}: {error}",
            hint="--format pt, safetensors or code",
        ) from error  # fmt: skip
    for inputs in ((args, kwargs), _larger(args, kwargs)):
        _compare(net, path, *inputs)


def _shapes(net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The batch of every tensor is free, everything else fixed."""
    free = {0: torch.export.Dim("batch")}
    given = [free if isinstance(value, Tensor) else None for value in args]
    named = {key: free if isinstance(value, Tensor) else None for key, value in kwargs.items()}
    return {**dict(zip(_parameters(net), given, strict=False)), **named} if kwargs else tuple(given)


def _parameters(net: nn.Module) -> list[str]:
    import inspect

    return list(inspect.signature(net.forward).parameters)


def _larger(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def more(value: Any) -> Any:
        return torch.cat((value, value[:1])) if isinstance(value, Tensor) else value

    return tuple(map(more, args)), {key: more(value) for key, value in kwargs.items()}


def _compare(net: nn.Module, path: Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tensors = tensors_of((args, kwargs))
    feed = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), tensors, strict=True)}
    with torch.no_grad():
        wanted = tensors_of(net(*args, **kwargs))
    for found, tensor in zip(session.run(None, feed), wanted, strict=True):
        off = float((torch.as_tensor(found) - tensor).abs().max() / tensor.abs().max().clamp_min(1.0))
        if not off <= TOLERANCE:
            raise GraphError(
                "the ONNX file gives other outputs", where=type(net).__name__,
                expected=f"equal to {TOLERANCE:g} in onnxruntime", found=f"{off:.1e} of the largest",
                hint="--format pt, safetensors or code",
            )  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Any:
    """torch's exporter prints, logs and warns about its own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
