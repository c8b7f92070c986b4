"""What is measured: metrics, of which a higher value is better, and the default losses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.errors import TrainingError, UserCodeError
from depthprobe.inputs.overrides import call_user
from depthprobe.training.jackknife import pseudo_values

FRACTIONS = ("accuracy", "top5")
PYTHON = "<python>"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A metric on some examples. value: the metric; scores: (M,) float64 of mean `value`, one per example, or per block
    of examples for a metric that gives one number; examples: N.
    """

    value: float
    scores: np.ndarray[Any, np.dtype[np.float64]]
    examples: int


@dataclass(frozen=True, kw_only=True)
class Metric:
    """name: as reports say it; spec: a built-in name, `file.py:name` or "<python>"; function: (output (N, ...), target
    (N, ...)) -> (N,) scores of the examples, whose mean is the metric, or one number. sha256: of its file.
    """

    name: str
    spec: str
    function: Callable[[Tensor, Tensor], Any]
    sha256: str | None = None
    path: Path | None = None

    @property
    def fraction(self) -> bool:
        """Whether every score is 0 or 1 and differences are said in points."""
        return self.spec in FRACTIONS

    @property
    def known_scale(self) -> bool:
        """Whether 1 is perfect, so that 0.005 is a small step: what `--tolerance auto` needs."""
        return self.fraction or self.spec == "r2"

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Least and largest value there can be."""
        return (0.0 if self.fraction else None), (1.0 if self.known_scale else None)

    def value(self, output: Tensor, target: Tensor) -> float:
        """The metric as one number. Raises UserCodeError for what the user's function raises."""
        found = self._call(output, target)
        return float(found.double().mean().item()) if isinstance(found, Tensor) else float(found)

    def score(self, output: Tensor, target: Tensor) -> Scored:
        """The metric with what is needed to judge its differences. Raises TrainingError when it is not finite."""
        found = self._call(output, target)
        if isinstance(found, Tensor) and found.ndim == 1:
            scores = found.double().numpy()
            value = float(scores.mean())
        else:
            value, scores = pseudo_values(self._number, output, target)
        if not np.isfinite(scores).all():
            raise TrainingError(f"the metric {self.name} is not finite", found=f"{value}")
        return Scored(value=value, scores=scores, examples=len(target))

    def to_json(self) -> dict[str, Any]:
        """Name, source and hash."""
        return {"name": self.name, "spec": self.spec, "sha256": self.sha256}

    def _number(self, output: Tensor, target: Tensor) -> float:
        return float(self._call(output, target))

    def _call(self, output: Tensor, target: Tensor) -> Any:
        own = self.path is not None or self.spec == PYTHON
        with torch.no_grad():
            found = (
                call_user(self.function, self.name, output, target, path=self.path, error=UserCodeError)
                if own
                else self.function(output, target)
            )
        if isinstance(found, np.ndarray | np.generic):
            found = torch.as_tensor(np.asarray(found))
        if isinstance(found, Tensor) and (found.ndim == 0 or tuple(found.shape) == (len(target),)):
            return found.detach().cpu() if found.ndim else found.item()
        if isinstance(found, int | float):
            return found
        shape = str(tuple(found.shape)) if isinstance(found, Tensor) else type(found).__name__
        raise UserCodeError(
            f"the metric {self.name} gives neither one score per example nor one number",
            where=str(self.path) if self.path else None,
            expected=f"a tensor of shape ({len(target)},), or a number",
            found=shape,
        )


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """1 where the largest of (N, C) outputs is at the class in target (N,)."""
    return (output.argmax(1) == target).double()


def top5(output: Tensor, target: Tensor) -> Tensor:
    """1 where the class is among the five largest outputs."""
    best = output.topk(min(5, output.shape[1]), dim=1).indices
    return (best == target[:, None]).any(1).double()


def r2(output: Tensor, target: Tensor) -> Tensor:
    """1 - squared error / variance of these targets; the mean is R squared, several targets weigh alike."""
    error = (output.double() - target.double()).square()
    return per_example(1.0 - error / target.double().var(0, correction=0))


def neg_mse(output: Tensor, target: Tensor) -> Tensor:
    """Minus the squared error."""
    return per_example(-(output.double() - target.double()).square())


def neg_mae(output: Tensor, target: Tensor) -> Tensor:
    """Minus the absolute error."""
    return per_example(-(output.double() - target.double()).abs())


def per_example(scores: Tensor) -> Tensor:
    """(N, ...) -> (N,): the mean of what belongs to one example."""
    return scores.flatten(1).mean(1) if scores.ndim > 1 else scores


def default_loss(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """cross_entropy for class indices, mse_loss for floating-point targets."""
    if target.is_floating_point():
        return F.mse_loss(output, target, reduction=reduction)
    return F.cross_entropy(output, target, reduction=reduction)


BUILT_IN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": accuracy,
    "top5": top5,
    "r2": r2,
    "neg_mse": neg_mse,
    "neg_mae": neg_mae,
}
ACCURACY = Metric(name="accuracy", spec="accuracy", function=accuracy)
