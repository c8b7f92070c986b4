"""A forward that raises: in which module, on which line, and whether the input or the code is to blame."""

import inspect
import linecache
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.errors import DepthprobeError, GraphError
from depthprobe.graph.example import Example, check_fit, describe_inputs, evaluating, resize_batch

_OF_INPUTS = (RuntimeError, ValueError, IndexError, AssertionError)  # what torch raises where shapes or kinds disagree
_INSIDE = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent), "<")  # frames of ours, torch's, of no file


def check_forward(model: nn.Module, example: Example) -> None:
    """One forward with 2 rows in eval mode. Raises GraphError where it raises; the model is left as found."""
    try:
        with evaluating(model):
            model(*resize_batch(example[0], 2), **resize_batch(example[1], 2))
    except DepthprobeError:
        raise
    except Exception as error:  # a user's forward may raise anything
        raise explain_failure(model, example, error) from error


def explain_failure(model: nn.Module, example: Example, error: Exception) -> GraphError:
    """The error of a forward that raised `error` on 2 or 3 rows of `example`. Raises GraphError where that does not fit
    what forward takes.
    """
    _check_arguments(model, example)
    place, line = _raised_at(error)
    said = str(error) or type(error).__name__
    if isinstance(error, _OF_INPUTS):
        module = _failing_module(model, example)
        return GraphError(
            f"the model does not run on an input of shape {describe_inputs(example)}: {said}",
            where=", called at ".join(part for part in (module, place) if part) or type(model).__name__,
            hint="check the model's input channels and size against the data (depthprobe inspect MODEL --dataset ...)",
        )
    return GraphError(
        f"{type(model).__name__}.forward raises {type(error).__name__}: {said}", where=place or type(model).__name__,
        expected="a model that runs by itself", found=line, hint="mend that line, then: model(example_inputs)",
    )  # fmt: skip


def _check_arguments(model: nn.Module, example: Example) -> None:
    forward = inspect.signature(model.forward)
    try:
        forward.bind(*example[0], **example[1])
    except TypeError:
        check_fit({name: p.default is not p.empty for name, p in forward.parameters.items()}, *example)


def _raised_at(error: BaseException) -> tuple[str, str]:
    """`file:line` of the innermost call that is neither torch's nor ours, and what stands there; "" without one."""
    place, line, frame = "", "", error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith(_INSIDE):
            place, line = f"{file}:{frame.tb_lineno}", linecache.getline(file, frame.tb_lineno).strip()
        frame = frame.tb_next
    return place, line


def _failing_module(model: nn.Module, example: Example) -> str:
    """Name and class of the innermost module in which forward raises; "" where it is the model itself."""
    names = {id(module): name for name, module in model.named_modules()}
    running = _still_running(model, example, 2) or _still_running(model, example, 3)
    inner = next((module for module in reversed(running) if names.get(id(module))), None)
    return "" if inner is None else f"{names[id(inner)]} ({type(inner).__name__})"


def _still_running(model: nn.Module, example: Example, size: int) -> list[nn.Module]:
    """The modules that were running when forward raised, the outermost first; none when it does not raise."""
    running: list[nn.Module] = []

    def leave(*_: Any) -> None:
        running.pop()

    args, kwargs = resize_batch(example[0], size), resize_batch(example[1], size)
    with ExitStack() as stack, evaluating(model), suppress(Exception):  # it raises once more
        for module in model.modules():
            stack.callback(module.register_forward_pre_hook(lambda one, _: running.append(one)).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        model(*args, **kwargs)
    return running
