"""Which metric is meant: a built-in name, `file.py:name`, or a function from Python."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from depthprobe.config import refuse_large_tolerance
from depthprobe.errors import ConfigError
from depthprobe.inputs.isolation import isolated
from depthprobe.inputs.overrides import Overrides
from depthprobe.inputs.pyfiles import execute_file, find_attribute, read_file, split_file_spec
from depthprobe.training.metrics import BUILT_IN, PYTHON, Metric, default_loss, per_example

FOR_CLASSES, FOR_NUMBERS = ("accuracy", "top5"), ("r2", "neg_mse", "neg_mae")


def open_metric(spec: str | None, *, classes: bool, own: Overrides, function: Any = None) -> Metric:
    """The metric that `spec` names: a built-in one, `file.py:name`, or None for accuracy (classes) or r2 (numbers).

    classes: whether targets are class indices; function: one passed from Python, which goes first. Raises ConfigError.
    """
    if function is not None:
        name = str(getattr(function, "__name__", type(function).__name__)).strip("<>")
        return Metric(name=name, spec=PYTHON, function=function)
    spec = spec or ("accuracy" if classes else "r2")
    if spec == PYTHON:
        raise ConfigError("the metric was passed as a Python object and cannot be loaded", hint="run dp.grow again")
    if spec == "neg_loss":
        return Metric(name=spec, spec=spec, function=neg_loss(own))
    if spec in BUILT_IN:
        if spec in (FOR_NUMBERS if classes else FOR_CLASSES):
            raise ConfigError(
                f"{spec} needs {'floating-point targets' if classes else 'class indices as targets'}",
                where="--metric",
                expected=", ".join((*(FOR_CLASSES if classes else FOR_NUMBERS), "neg_loss")) + " or file.py:name",
                found="class indices" if classes else "floating-point targets",
            )
        return Metric(name=spec, spec=spec, function=BUILT_IN[spec])
    return _open_file(spec)


def check_tolerance(tolerance: float | None, metric: Metric) -> None:
    """Raise ConfigError for "auto" on a metric of unknown scale, and for a tolerance above 0.2 on a fraction."""
    if tolerance is None and not metric.known_scale:
        raise ConfigError(
            f"--tolerance auto does not know what a small step of {metric.name} is",
            where="--tolerance",
            expected=f"the smallest difference of {metric.name} that matters to you, in its own units",
            hint="--tolerance 0.01, if a hundredth is such a step",
        )
    if metric.fraction:
        refuse_large_tolerance(tolerance)


def check_kept(limits: Mapping[str, float], metric: Metric) -> None:
    """Raise ConfigError for a value to keep that the metric cannot have. limits: those that were set."""
    keep, (low, high) = limits.get("keep_accuracy"), metric.bounds
    if keep is None or ((low is None or keep >= low) and (high is None or keep <= high)):
        return
    bounds = [f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None]
    raise ConfigError(
        f"no network can have {keep:g} in {metric.name}",
        where="--keep-accuracy",
        expected=" and ".join(bounds),
        found=f"{keep:g}",
        hint=f"--keep-accuracy {keep / 100:g}" if metric.fraction and 1.0 < keep <= 100.0 else None,
    )


def _open_file(spec: str) -> Metric:
    file = split_file_spec(spec)
    if file is None or not file[1]:
        raise ConfigError(
            f"metric {spec!r} is not known",
            where="--metric",
            expected=", ".join((*BUILT_IN, "neg_loss")) + " or file.py:name",
        )
    path, name = file[0], file[1]
    digest = hashlib.sha256(read_file(path, ConfigError)).hexdigest()
    with isolated(0, path.parent):
        function = find_attribute(execute_file(path, ConfigError), name, f"{path}:{name}", ConfigError)
    if not callable(function):
        raise ConfigError(f"{name} is not a function", where=f"{path}:{name}", found=type(function).__name__)
    return Metric(name=name, spec=f"{path}:{name}", function=function, path=path, sha256=digest)


def neg_loss(own: Overrides) -> Callable[[Tensor, Tensor], Any]:
    """Minus the loss: of each example for the default ones, of the whole set for the user's."""
    if own.loss is not None:
        return lambda output, target: -float(own.call("loss", output, target))
    return lambda output, target: per_example(-default_loss(output.double(), _double(target), "none"))


def _double(target: Tensor) -> Tensor:
    return target.double() if target.is_floating_point() else target
