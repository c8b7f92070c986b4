"""A network as one readable Python file, and the weights that load into it."""

import copy
import textwrap
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from depthprobe.errors import GraphError
from depthprobe.exporting.constructors import call_of
from depthprobe.exporting.flat import flatten
from depthprobe.exporting.forward import write_forward
from depthprobe.graph.example import split_inputs

_FILE = '''"""{title}

    from {module} import load

    net = load()  # {name} in eval mode, with the weights of {weights}
{usage}
Written by depthprobe; it needs torch and safetensors only{others}.
"""

from pathlib import Path

{imports}

WEIGHTS = Path(__file__).with_name("{weights}")
{scale}

class {name}(nn.Module):
    """{inputs}"""

    def __init__(self) -> None:
        super().__init__()
{layers}

{forward}


def load(path: Path = WEIGHTS) -> {name}:
    """The network with its weights, in eval mode. Raises RuntimeError when they are another network's."""
    net = {name}()
    net.load_state_dict(load_file(path))
    return net.eval()
{prepare}'''

_SCALE = """MEAN = {mean}
STD = {std}
"""
_PREPARE = '''

def prepare(x):
    """x (B, C, ...), images in 0..1, as the network was trained on it: less MEAN, by STD, per channel or feature."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - torch.tensor(MEAN, dtype=x.dtype).view(shape)) / torch.tensor(STD, dtype=x.dtype).view(shape)
'''


@dataclass(frozen=True)
class Generated:
    """name: of the class; text: the file; weights: by the names that the class gives them."""

    name: str
    text: str
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Scale:
    """What inputs were normalised by: mean and std per channel (images, sequences) or per feature (flat data)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def export_code(
    net: nn.Module,
    example_inputs: Any,
    *,
    module: str = "network",
    title: str | None = None,
    scale: Scale | None = None,
) -> Generated:
    """`net` as the text of a Python file that imports nothing of ours, and its weights.

    example_inputs: tensor, tuple or dict with a batch; the generated class must reproduce the outputs on it bit for bit
    before anything is returned. module: what the file will be called, without .py; title: its first line;
    scale: the file gets a function `prepare` that normalises inputs by it. Raises
    GraphError for what torch.fx cannot follow, for layers that no constructor call makes again, and for outputs that
    come out otherwise.
    """
    flat = flatten(net)
    layers = _layers(flat)
    forward = write_forward(flat)
    name = type(flat).__name__
    args, kwargs = split_inputs(example_inputs)
    shapes = ", ".join(f"{tuple(v.shape)}" for v in (*args, *kwargs.values()) if isinstance(v, Tensor))
    packages = sorted({line.split()[1].partition(".")[0] for line in forward.imports} - {"torch", "operator", "math"})
    imports = ["import torch", *forward.imports, "from safetensors.torch import load_file", "from torch import nn"]
    if "F." in forward.source + layers:
        imports.append("from torch.nn import functional as F")
    numbers = {} if scale is None else {"mean": list(scale.mean), "std": list(scale.std)}
    text = _FILE.format(
        usage="    scores = net(prepare(x))  # x: inputs as the data set has them, images in 0..1\n" if scale else "",
        scale=_SCALE.format(**numbers) if scale else "",
        prepare=_PREPARE if scale else "",
        title=title or f"{name}: {sum(p.numel() for p in net.parameters()):,} parameters.",
        name=name,
        module=module,
        weights=f"{module}.safetensors",
        others="".join(f", and {package}" for package in packages),
        imports="\n".join(imports),
        inputs=f"Traced with inputs of shape {shapes}; the first dimension is the batch.",
        layers=textwrap.indent(layers, " " * 8),
        forward=textwrap.indent(forward.source, " " * 4),
    )
    text = _drop_unused(text)
    weights = {key: value.detach().clone().contiguous() for key, value in flat.state_dict().items()}
    _check(net, text, name, weights, (args, kwargs))
    return Generated(name, text, weights)


def _layers(flat: fx.GraphModule) -> str:
    """One statement per layer, in the order in which forward meets them, then what they share."""
    lines = []
    for name, child in flat.named_children():
        lines.append(f"self.{name} = {call_of(child, name)}")
    for name, parameter in flat.named_parameters(recurse=False):
        lines.append(f"self.{name} = nn.Parameter(torch.empty({_sizes(parameter)}))")
    for name, buffer in flat.named_buffers(recurse=False):
        kind = "" if buffer.dtype == torch.float32 else f", dtype={buffer.dtype}"
        lines.append(f'self.register_buffer("{name}", torch.empty({_sizes(buffer)}{kind}))')
    return "\n".join(lines + _shared(flat))


def _sizes(tensor: Tensor) -> str:
    return ", ".join(map(str, tensor.shape)) if tensor.ndim else "()"


def _shared(flat: fx.GraphModule) -> list[str]:
    """Parameters that two layers have in common, tied again."""
    first: dict[int, str] = {}
    lines = []
    for name, parameter in flat.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known != name:
            lines.append(f"self.{name} = self.{known}")
    return lines


def _drop_unused(text: str) -> str:
    """Without `import torch` where the class reads nothing of it."""
    body = text.replace("import torch\n", "", 1)
    return text if "torch." in body.split("WEIGHTS =", 1)[1] else body


def _check(net: nn.Module, text: str, name: str, weights: dict[str, Tensor], inputs: Any) -> None:
    """Execute the text, load the weights, compare."""
    space: dict[str, Any] = {"__file__": "network.py", "__name__": "network"}
    exec(compile(text, "network.py", "exec"), space)
    made = space[name]()
    made.load_state_dict(weights)
    here, there = (_run(one, inputs) for one in (net, made))
    if len(here) != len(there) or not all(torch.equal(a, b) for a, b in zip(here, there, strict=True)):
        raise GraphError(
            f"{type(net).__name__} cannot be written as code: the generated class gives other outputs",
            expected="equal outputs in eval mode, bit for bit", hint="--format pt, safetensors or onnx",
        )  # fmt: skip


def _run(net: nn.Module, inputs: Any) -> list[Tensor]:
    copied = copy.deepcopy(net).eval()
    with torch.no_grad():
        return tensors_of(copied(*inputs[0], **inputs[1]))


def tensors_of(output: Any) -> list[Tensor]:
    """The tensors of nested tuples, lists and dicts, in order."""
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]
