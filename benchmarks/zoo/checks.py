"""What must hold for a model: one function per check, and a one-line reason when it fails."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

import depthprobe as dp
from depthprobe.errors import DepthprobeError
from depthprobe.graph.example import split_inputs
from zoo.cases import Case

PICKS = 3
TOLERANCE = 1e-5  # of the largest output, where the two are not bitwise equal
TRAIN_BATCH, NORM_BATCH = 4, 16  # BatchNorm inside a gate gets eight samples at ratio 0.5
CHECKS = (
    "units", "duplicate at 0", "duplicate at 1", "recipe", "gate at 1", "gate at 0", "backward", "left as found",
)  # fmt: skip


class CheckError(Exception):
    """A check failed; the text is the reason."""


@dataclass
class Trial:
    """One model under test. deviation: the largest difference that was let pass, as a share of the largest output.
    edited: the network with copies, then the one with gates; one at a time, large models fit once.
    """

    case: Case
    model: nn.Module
    example: Any
    reference: list[Tensor]
    growable: list[str] = field(default_factory=list)
    shrinkable: list[str] = field(default_factory=list)
    deviation: float = 0.0
    edited: tuple[str, Any] = ("", None)

    def with_edits(self, kind: str) -> Any:
        """The network with copies ("grown") or gates ("gated"), made once."""
        if self.edited[0] != kind:
            self.edited = ("", None)
            edits = _copies(self) if kind == "grown" else [dp.Gate(unit=name) for name in self.shrinkable]
            self.edited = (kind, _applied(self, edits))
        return self.edited[1]

    def same(self, found: list[Tensor], wanted: list[Tensor], what: str) -> None:
        """Equal bit for bit, or within TOLERANCE of the largest value."""
        if [t.shape for t in found] != [t.shape for t in wanted]:
            raise CheckError(f"{what}: {_shapes(found)} instead of {_shapes(wanted)}")
        for one, two in zip(found, wanted, strict=True):
            if torch.equal(one.isnan(), two.isnan()) and torch.equal(one.nan_to_num(), two.nan_to_num()):
                continue
            if not two.is_floating_point() or not torch.equal(one.isfinite(), two.isfinite()):
                raise CheckError(f"{what}: other values")
            off = float((one - two).nan_to_num().abs().max() / two.nan_to_num().abs().max().clamp_min(1e-12))
            if off > TOLERANCE:
                raise CheckError(f"{what}: off by {off:.1e} of the largest output")
            self.deviation = max(self.deviation, off)


def try_case(case: Case, begin: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """All checks of one model. begin: told which check starts. Returns plain values; `checks` maps a name to "ok",
    to the reason of the failure, or is without the name where an earlier failure left nothing to check.
    """
    warnings.simplefilter("ignore")
    begin("build")
    torch.manual_seed(0)
    model = case.build().eval()
    example = case.inputs(2)
    trial = Trial(case, model, example, run(model, example))
    result: dict[str, Any] = {"params": sum(p.numel() for p in model.parameters()), "input": _describe(example)}
    checks = result["checks"] = {}
    for name, check in _CHECKS.items():
        begin(name)
        try:
            found = check(trial)
        except (MemoryError, CheckError) as problem:
            checks[name] = str(problem) or "out of memory"
        except Exception as problem:  # noqa: BLE001 (whatever a model brings up is this check's answer)
            checks[name] = one_line(problem)
        else:
            checks[name] = "ok"
            result |= found or {}
        if name == "units" and (checks[name] != "ok" or result.get("refused")):
            break
    return {**result, "deviation": trial.deviation}


def one_line(problem: BaseException) -> str:
    """The exception as one line of at most 300 characters."""
    text = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, DepthprobeError):
        text = ", ".join(part for part in (problem.what, problem.where, problem.found) if part)
    text = re.sub(r"(/[^/\s]+)+/site-packages/", "", " ".join(text.split()))
    return text[:300]


def run(net: nn.Module, example: Any) -> list[Tensor]:
    """All tensors that the network returns in its present mode, seeded, without gradients."""
    args, kwargs = split_inputs(example)
    torch.manual_seed(0)
    with torch.no_grad():
        return tensors(net(*args, **kwargs))


def tensors(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists, dicts and dataclasses, in order."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value) and not isinstance(value, Mapping):
        value = list(vars(value).values())
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def _units(trial: Trial) -> dict[str, Any]:
    found = dp.units(trial.model, trial.example)
    growable = [unit.name for unit in found if unit.growable]
    shrinkable = [unit.name for unit in found if unit.shrinkable]
    counts = {"units": len(found), "growable": len(growable), "shrinkable": len(shrinkable)}
    if not growable and trial.case.shared:
        strange = [u for u in found if not any(word in u.reason for word in ("share", "more than once", "times"))]
        if strange or not found:
            raise CheckError(f"refused for another reason than shared weights: {strange[:1]}")
        return {**counts, "refused": found[0].reason}
    for names, what in ((growable, "growable"), (shrinkable, "shrinkable")):
        if not names:
            reasons = sorted({unit.reason for unit in found})
            raise CheckError(f"none of {len(found)} units is {what}: {'; '.join(reasons)[:200]}")
    trial.growable, trial.shrinkable = _pick(growable), _pick(shrinkable)
    return counts


def _pick(names: list[str]) -> list[str]:
    """First, middle, last."""
    return list(dict.fromkeys(names[i] for i in (0, len(names) // 2, len(names) - 1)))[:PICKS]


def _copies(trial: Trial) -> list[dp.Duplicate]:
    return [dp.Duplicate(unit=name) for name in trial.growable]


def _applied(trial: Trial, edits: list[Any]) -> Any:
    torch.manual_seed(1)
    return dp.apply(trial.model, edits, trial.example).eval()


def _duplicate_at_0(trial: Trial) -> None:
    edited = trial.with_edits("grown")
    edited.set_ratio(0.0)
    trial.same(run(edited, trial.example), trial.reference, "copies at 0 and the original differ")


def _duplicate_at_1(trial: Trial) -> None:
    edited = trial.with_edits("grown")
    edited.set_ratio(1.0)
    opened = run(edited, trial.example)
    plain = dp.settle(edited)
    if count(plain) <= count(trial.model):
        raise CheckError(f"{count(plain)} parameters after growing, {count(trial.model)} before")
    _plain_only(plain)
    trial.same(run(plain.eval(), trial.example), opened, "copies at 1 and settled differ")


def _plain_only(net: nn.Module) -> None:
    ours = [type(m).__qualname__ for m in net.modules() if type(m).__module__.startswith("depthprobe")]
    if ours:
        raise CheckError(f"settled, but still holds a {ours[0]}")


def _recipe(trial: Trial) -> None:
    edits = _copies(trial)
    text = dp.recipe_to_json(edits)
    if (read := dp.recipe_from_json(text)) != edits or dp.recipe_to_json(read) != text:
        raise CheckError("the recipe changes on its way through JSON")
    edited, replayed = trial.with_edits("grown"), _applied(trial, read)
    for net in (edited, replayed):
        net.set_ratio(1.0)
    one, two = edited.state_dict(), replayed.state_dict()
    if list(one) != list(two) or not all(torch.equal(one[n], two[n]) for n in one if isinstance(one[n], Tensor)):
        raise CheckError("the replayed recipe gives other names or weights under the same seed")


def _gate_at_1(trial: Trial) -> None:
    edited = trial.with_edits("gated")
    edited.set_ratio(1.0)
    trial.same(run(edited, trial.example), trial.reference, "gates at 1 and the original differ")


def _gate_at_0(trial: Trial) -> None:
    edited = trial.with_edits("gated")
    edited.set_ratio(0.0)
    closed = run(edited, trial.example)
    finite = all(t.isfinite().all() for t in trial.reference if t.is_floating_point())
    if finite and not all(t.isfinite().all() for t in closed if t.is_floating_point()):
        raise CheckError("the output with gates at 0 is not finite")
    plain = dp.settle(edited)
    if count(plain) >= count(trial.model):
        raise CheckError(f"{count(plain)} parameters after leaving out, {count(trial.model)} before")
    _plain_only(plain)
    trial.same(run(plain.eval(), trial.example), closed, "gates at 0 and settled differ")


def _backward(trial: Trial) -> dict[str, Any]:
    trial.edited = ("", None)
    edited = _applied(trial, [dp.Gate(unit=name) for name in trial.shrinkable] + _copies(trial))
    norms = [m for g in edited.gates.values() for m in g.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    batch = trial.case.train_batch or (NORM_BATCH if norms else TRAIN_BATCH)
    inputs = trial.case.inputs(batch)
    dead = _unreached(trial.model, inputs)
    edited.set_ratio(0.5)
    unreached = _unreached(edited, inputs)
    kept = {id(p) for name, p in edited.original_parameters.items() if name in dead}
    named = {name for name, p in edited.named_parameters() if name in unreached and id(p) not in kept}
    # What the original does not train its copies do not either.
    endings = tuple(name.removeprefix(unit) for unit in trial.growable for name in dead if name.startswith(unit + "."))
    missed = sorted(name for name in named if not (endings and "_copy" in name and name.endswith(endings)))
    if missed:
        raise CheckError(f"{len(missed)} of {len(list(edited.parameters()))} parameters get no gradient: {missed[0]}")
    return {"train_batch": batch}


def _unreached(net: nn.Module, inputs: Any) -> set[str]:
    """Names of trainable parameters without a gradient after one backward pass in train mode; state is put back."""
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    args, kwargs = split_inputs(inputs)
    net.train()
    torch.manual_seed(2)
    total = sum((t.float() * torch.randn_like(t, dtype=torch.float)).sum() for t in _trained(net(*args, **kwargs)))
    if not isinstance(total, Tensor):
        raise CheckError("no output has a gradient")
    total.backward()
    unreached = {name for name, p in net.named_parameters() if p.requires_grad and p.grad is None}
    net.zero_grad(set_to_none=True)
    net.eval()
    with torch.no_grad():
        for name, value in net.named_buffers():
            if name in buffers and buffers[name].shape == value.shape:
                value.copy_(buffers[name])
    return unreached


def _trained(output: Any) -> list[Tensor]:
    return [tensor for tensor in tensors(output) if tensor.requires_grad]


def _left_as_found(trial: Trial) -> None:
    trial.same(run(trial.model, trial.example), trial.reference, "the user's model has changed")


def count(net: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(p.numel() for p in net.parameters())


def _shapes(values: list[Tensor]) -> str:
    return ", ".join("x".join(map(str, value.shape)) for value in values)[:80]


def _describe(example: Any) -> str:
    return _shapes(tensors(example))


_CHECKS: dict[str, Callable[[Trial], dict[str, Any] | None]] = dict(
    zip(
        CHECKS,
        (_units, _duplicate_at_0, _duplicate_at_1, _recipe, _gate_at_1, _gate_at_0, _backward, _left_as_found),
        strict=True,
    )
)
