"""A flat graph's forward as statements that a person reads: one name flows on while nobody else needs the old value."""

import ast
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import fx

from depthprobe.errors import GraphError

_NAMES = ("x", "y", "z", "u", "v", "w", "a", "b", "c", "d")
_SHORT = {"torch.nn.functional": "F", "torch.nn": "nn"}


@dataclass(frozen=True)
class Forward:
    """source: `def forward(...)` at column 0. imports: lines that it needs beside torch, nn and F."""

    source: str
    imports: tuple[str, ...]


def write_forward(flat: fx.GraphModule) -> Forward:
    """The forward of a flat graph. Raises GraphError when it calls a function that cannot be imported by name."""
    code = flat.graph.python_code("self")
    text = re.sub(r";  .* = None$", "", code.src, flags=re.MULTILINE)  # fx frees every value by hand
    for long, short in _SHORT.items():
        text = re.sub(rf"\b{re.escape(long)}\.", f"{short}.", text)
    function = next(part for part in ast.parse(text).body if isinstance(part, ast.FunctionDef))
    function.decorator_list, function.returns = [], None
    for argument in function.args.args:
        argument.annotation = None
    _flow(function)
    source = ast.unparse(ast.fix_missing_locations(function))
    return Forward(source, tuple(_imports(code.globals, source)))


def _flow(function: ast.FunctionDef) -> None:
    """Short names: a statement whose input is read for the last time hands its name on to the result."""
    steps = [part for part in function.body if isinstance(part, (ast.Assign, ast.AnnAssign, ast.Expr, ast.Return))]
    last = {name: index for index, step in enumerate(steps) for name in _reads(step)}
    called = {argument.arg: argument.arg for argument in function.args.args}  # fx's name -> the name in the text
    attributes: dict[str, ast.expr] = {}
    body: list[ast.stmt] = []
    for index, step in enumerate(steps):
        target = _target(step)
        value = step.value
        if (
            target
            and isinstance(value, ast.Attribute)
            and isinstance(value.value, ast.Name)
            and value.value.id == "self"
        ):
            attributes[target] = value  # a weight of the class's own is read where it is used
            continue
        done = sorted(called[name] for name in _reads(step) if name in called and last[name] == index)
        if value is not None:
            step.value = _Reading(called, attributes).visit(value)
        if target and step.value is not None:
            live = {text for name, text in called.items() if last.get(name, -1) > index or name == "self"}
            called[target] = next((name for name in [*sorted(done, key=_rank), *_NAMES] if name not in live), target)
            if isinstance(step.value, ast.Name) and step.value.id == called[target]:
                continue  # the same value under the same name
            step = ast.Assign([ast.Name(called[target], ast.Store())], step.value)
        body.append(step)
    function.body = body


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "self"


def _rank(name: str) -> tuple[bool, int]:
    return (name not in _NAMES, _NAMES.index(name) if name in _NAMES else 0)


def _target(step: ast.stmt) -> str | None:
    if isinstance(step, ast.AnnAssign) and isinstance(step.target, ast.Name):
        return step.target.id
    named = isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name)
    return step.targets[0].id if named else None  # type: ignore[attr-defined]


def _reads(step: ast.stmt) -> list[str]:
    value = getattr(step, "value", None)
    names = [] if value is None else [n.id for n in ast.walk(value) if isinstance(n, ast.Name)]
    return list(dict.fromkeys(names))


class _Reading(ast.NodeTransformer):
    """An expression under the names of the text: weights in their place, slice(None, 3) as :3."""

    def __init__(self, called: dict[str, str], attributes: dict[str, ast.expr]) -> None:
        self.called, self.attributes = called, attributes

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.attributes:
            return self.attributes[node.id]
        return ast.Name(self.called.get(node.id, node.id), node.ctx)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        parts = [_as_slice(part) for part in parts]
        node.slice = ast.Tuple(parts, ast.Load()) if isinstance(node.slice, ast.Tuple) else parts[0]
        return node


def _as_slice(part: ast.expr) -> ast.expr:
    if not (isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "slice"):
        return part
    ends = [None if isinstance(a, ast.Constant) and a.value is None else a for a in part.args]
    return ast.Slice(*ends)


def _imports(found: dict[str, Any], source: str) -> list[str]:
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    return sorted(_import(name, value) for name, value in found.items() if name in used and name != "torch")


def _import(name: str, value: Any) -> str:
    if isinstance(value, ModuleType):
        return f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}")
    if isinstance(value, (torch.device, torch.dtype)):
        return f"{name} = {value!r}"
    home, called = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if not home or not called.isidentifier() or home == "__main__" or home.startswith(("depthprobe", "_")):
        raise GraphError(
            f"forward calls {name}, which cannot be imported by name", found=f"{home}.{called}",
            expected="functions of torch or of an installed package", hint="--format pt, safetensors or onnx",
        )  # fmt: skip
    return f"from {home} import {called}" + ("" if called == name else f" as {name}")
