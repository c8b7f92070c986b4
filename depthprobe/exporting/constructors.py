"""A module as the call that makes it: nn.Conv2d(3, 16, kernel_size=(3, 3), padding=(1, 1))."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from depthprobe.errors import GraphError

_SKIPPED = ("self", "device", "dtype", "_weight", "_freeze", "size_average", "reduce")
_ABSENT = object()
_RECURRENT = {
    "input_size": None, "hidden_size": None, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
    "bidirectional": False, "proj_size": 0,
}  # fmt: skip


def call_of(module: nn.Module, name: str) -> str:
    """The call, with the arguments that differ from the defaults; what it makes prints like `module`.

    name: for messages. Raises GraphError for a module that cannot be told by its attributes, and for one with hooks or
    parametrizations, which no constructor brings back.
    """
    kind = type(module)
    if module._forward_hooks or module._forward_pre_hooks or hasattr(module, "parametrizations"):
        raise _refused(name, module, "it has hooks or parametrizations, which no constructor brings back")
    place = "nn" if getattr(nn, kind.__name__, None) is kind else kind.__module__
    text = f"{place}.{kind.__name__}({', '.join(_words(_arguments(module, name)))})"
    _check(text, module, name)
    return text


def _refused(name: str, module: nn.Module, why: str) -> GraphError:
    return GraphError(
        f"layer {name!r} cannot be written as code", where=f"{type(module).__module__}.{type(module).__qualname__}",
        found=why, hint="--format pt, safetensors or onnx",
    )  # fmt: skip


def _check(text: str, module: nn.Module, name: str) -> None:
    """Build it and compare: class, printed form, names and shapes of the tensors."""
    try:
        made = eval(text, {"nn": nn, "torch": torch, "F": F})
    except Exception as problem:
        raise _refused(name, module, f"{text} raised {type(problem).__name__}: {problem}") from problem
    shapes = [{key: value.shape for key, value in net.state_dict().items()} for net in (made, module)]
    if repr(made) != repr(module) or shapes[0] != shapes[1]:
        raise _refused(name, module, f"{text} does not make the same layer again")


def _words(arguments: list[tuple[str, Any, bool]]) -> list[str]:
    return [_text(value) if positional else f"{name}={_text(value)}" for name, value, positional in arguments]


def _text(value: Any) -> str:
    if value is F.relu or value is F.gelu:
        return f"F.{value.__name__}"
    return repr(tuple(value) if isinstance(value, (torch.Size, list)) else value)


def _arguments(module: nn.Module, name: str) -> list[tuple[str, Any, bool]]:
    """(name, value, whether it goes without its name) of every argument that is needed."""
    if isinstance(module, nn.RNNBase):
        return _recurrent(module)
    special = _special(module)
    found, positional = [], True
    for parameter in inspect.signature(type(module)).parameters.values():
        if parameter.name in _SKIPPED or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is parameter.empty
        value = special.get(parameter.name, _value(module, parameter.name))
        if value is _ABSENT and required:
            raise _refused(name, module, f"its argument {parameter.name} is not kept")
        positional = positional and required and "kernel" not in parameter.name
        if value is not _ABSENT and (required or not _equal(value, parameter.default)):
            found.append((parameter.name, value, positional))
    return found


def _value(module: nn.Module, name: str) -> Any:
    value = getattr(module, name, _ABSENT)
    if name in module._parameters or name in module._buffers:
        return value is not None  # bias=False leaves None where the parameter would be
    return _ABSENT if isinstance(value, nn.Module) or callable(value) else value


def _equal(value: Any, default: Any) -> bool:
    """Whether a value says what the default does; (1, 1) says what 1 does."""
    if isinstance(value, (tuple, list)) and not isinstance(default, (tuple, list)):
        return bool(value) and all(part == default for part in value)
    return type(value) in (type(default), int, float) and value == default


def _special(module: nn.Module) -> Mapping[str, Any]:
    """Arguments that a class keeps elsewhere."""
    if isinstance(module, nn.MultiheadAttention):
        return {
            "bias": module.in_proj_bias is not None, "add_bias_kv": module.bias_k is not None,
            "kdim": None if module.kdim == module.embed_dim else module.kdim,
            "vdim": None if module.vdim == module.embed_dim else module.vdim,
        }  # fmt: skip
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        attention: Any = module.self_attn
        norm, linear, dropout = module.norm1, module.linear1, module.dropout
        return {
            "d_model": attention.embed_dim, "nhead": attention.num_heads, "dim_feedforward": linear.out_features,
            "dropout": dropout.p, "activation": module.activation, "layer_norm_eps": norm.eps,
            "batch_first": attention.batch_first, "norm_first": module.norm_first, "bias": linear.bias is not None,
        }  # fmt: skip
    return {}


def _recurrent(module: nn.RNNBase) -> list[tuple[str, Any, bool]]:
    found = [(name, getattr(module, name), name in ("input_size", "hidden_size")) for name in _RECURRENT]
    found = [row for row in found if row[1] != _RECURRENT[row[0]]]
    if isinstance(module, nn.RNN) and module.nonlinearity != "tanh":
        found.append(("nonlinearity", module.nonlinearity, False))
    return found
